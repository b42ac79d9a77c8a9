"""The values of command-line options, parsed and checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpbench.errors import InvalidInputError, UnknownNameError

if TYPE_CHECKING:
    from kpbench.api import Device, Recipe
    from kpbench.run import Settings


def parse_seeds(text: str) -> list[int]:
    """Return the seeds in "0", "0-2" or "0,3,5-7".

    Raises:
        InvalidInputError: anything else.

    Example:
        >>> parse_seeds("0,3,5-7")
        [0, 3, 5, 6, 7]
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if (
            not first.isdigit()
            or (dash and not last.isdigit())
            or (dash and int(last) < int(first))
        ):
            raise InvalidInputError(f"--seeds {text!r}: write 0, 0-2 or 0,3,5-7")
        seeds += range(int(first), int(last or first) + 1)
    return sorted(set(seeds))


def parse_overrides(items: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return {"autolink": {"steps": 9}} for ["autolink.steps=9"]; values are JSON or text."""
    found: dict[str, dict[str, Any]] = {}
    for item in items:
        target, equals, text = item.partition("=")
        method, dot, name = target.partition(".")
        if not (equals and dot and method and name):
            raise InvalidInputError(f"--set {item!r}: write METHOD.NAME=VALUE")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        found.setdefault(method, {})[name] = value
    return found


def parse_recipe(name: str) -> Recipe:
    """Return the recipe of that name."""
    from kpbench.api import RECIPES

    for recipe in RECIPES:
        if recipe == name:
            return recipe
    raise UnknownNameError.of("recipe", name, RECIPES)


def parse_device(name: str) -> Device:
    """Return "cpu" or "cuda"; "auto" takes a GPU where one works."""
    if name == "cpu":
        return "cpu"
    if name not in ("auto", "cuda"):
        raise UnknownNameError.of("device", name, ("auto", "cpu", "cuda"))
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if name == "cuda":
        raise InvalidInputError("no CUDA device works here; use --device cpu")
    return "cpu"


def settings_from(
    results: Path,
    recipe: str,
    device: str,
    precision: str = "auto",
    rerun: bool = False,
    overrides: Sequence[str] = (),
) -> Settings:
    """Return the settings of a run, names and values checked."""
    from kpbench.registry import available
    from kpbench.run import Settings

    methods, protocols = available("methods"), available("protocols")
    chosen = parse_overrides(overrides)
    for name in chosen:
        if name not in methods and name not in protocols:
            raise UnknownNameError.of("method or protocol", name, [*methods, *protocols])
    where = parse_device(device)
    return Settings(
        results,
        parse_recipe(recipe),
        where,
        ("bf16-mixed" if where == "cuda" else "32-true") if precision == "auto" else precision,
        rerun,
        overrides={name: values for name, values in chosen.items() if name in methods},
        arguments={name: values for name, values in chosen.items() if name not in methods},
    )
