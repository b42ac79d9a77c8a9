"""The values of command-line options, parsed and checked."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpbench.contracts.parameters import LAST_SEED
from kpbench.errors import InvalidInputError, UnknownNameError

if TYPE_CHECKING:
    from kpbench.api import Device, Recipe
    from kpbench.running.resolve import Rerun, Settings


MOST_SEEDS = 10_000


def parse_seeds(text: str) -> list[int]:
    """Return the seeds in "0", "0-2" or "0,3,5-7".

    Raises:
        InvalidInputError: anything else, or more than `MOST_SEEDS`.

    Example:
        >>> parse_seeds("0,3,5-7")
        [0, 3, 5, 6, 7]
    """
    seeds: list[int] = []
    shown = repr(text if len(text) <= 60 else f"{text[:57]}...")
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not re.fullmatch(r"[0-9]{1,19}", first) or not re.fullmatch(r"[0-9]{1,19}", last):
            raise InvalidInputError(f"--seeds {shown}: write 0, 0-2 or 0,3,5-7")
        if not int(first) <= int(last) <= LAST_SEED:
            raise InvalidInputError(
                f"--seeds {shown}: write 0, 0-2 or 0,3,5-7, the first of a range not above its "
                f"last, and none above {LAST_SEED}"
            )
        if int(last) - int(first) + len(seeds) >= MOST_SEEDS:
            raise InvalidInputError(
                f"--seeds {shown}: these are more than {MOST_SEEDS:,}, and each is a training; "
                "name fewer"
            )
        seeds += range(int(first), int(last) + 1)
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


def parse_range(option: str, text: str | None) -> tuple[float, float] | None:
    """Return the two numbers in "-1,1", the smaller first; None for None.

    Raises:
        InvalidInputError: anything else.

    Example:
        >>> parse_range("--range", "-1,1")
        (-1.0, 1.0)
    """
    if text is None:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = math.nan
    if not (low < high and math.isfinite(high - low)):
        raise InvalidInputError(
            f"{option} {text!r}: write LOW,HIGH, the values at the left or upper and at the right "
            "or lower edge of the image, e.g. -1,1 or 0,256"
        )
    return low, high


def parse_recipe(name: str) -> Recipe:
    """Return the name of a recipe.

    Raises:
        UnknownNameError: there is none; lists those that there are.
    """
    from kpbench.registry import find_recipe

    return find_recipe(name).name


def parse_device(name: str) -> Device:
    """Return "cpu" or "cuda"; "auto" takes a GPU where one works."""
    from kpbench.contracts.devices import find_device

    return find_device(name)


def parse_precision(name: str, device: Device) -> str:
    """Return what to compute in; "auto" is float32 on a CPU and bfloat16 on a GPU."""
    if name == "auto":
        return "bf16-mixed" if device == "cuda" else "32-true"
    from kpbench.contracts.devices import check_precision

    check_precision(device, name)
    return name


def parse_rerun(name: str) -> Rerun:
    """Return what is run again; "" is nothing."""
    from kpbench.running.resolve import RERUNS

    for rerun in RERUNS:
        if rerun == name:
            return rerun
    raise UnknownNameError.of("kind of --rerun", name, RERUNS[1:])


def check_role(name: str) -> None:
    """Check that a protocol takes this role.

    Raises:
        UnknownNameError: none does.
    """
    from kpbench.registry import roles

    if name not in (known := roles()):
        raise UnknownNameError.of("role", name, known)


def check_taking_part(settings: Settings, names: Collection[str]) -> None:
    """Check that what is set belongs to methods and protocols that take part.

    Args:
        settings: with parameters and arguments.
        names: of the methods and protocols that take part.

    Raises:
        InvalidInputError: what is set for another would change nothing; names it.
    """
    for name in (*settings.overrides, *settings.arguments):
        if name not in names:
            raise InvalidInputError(
                f"--set {name}.…: {name} does not take part here; leave it out, or name one of "
                f"{', '.join(sorted(names))}"
            )


def settings_from(
    results: Path,
    recipe: str,
    device: str,
    precision: str = "auto",
    rerun: str = "",
    overrides: Sequence[str] = (),
) -> Settings:
    """Return the settings of a run, names and values checked."""
    from kpbench.registry import available
    from kpbench.running.resolve import Settings

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
        parse_precision(precision, where),
        parse_rerun(rerun),
        overrides={name: values for name, values in chosen.items() if name in methods},
        arguments={name: values for name, values in chosen.items() if name not in methods},
    )
