"""How much training there is, by name. The built-in recipes, and those that plugins declare."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from kpbench.contracts.types import Recipe
from kpbench.errors import ContractError, UnknownNameError

NAME = r"^[a-z][a-z0-9_]{0,39}$"
"""Of a recipe: it is part of the names of files."""

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class DeclaredRecipe:
    """An amount of training that methods and protocols refer to by its name.

    Attributes:
        name: lower case with underscores.
        about: one line: how long it takes, on what.
        base: the recipe whose data is taken where a protocol has no sizes for this one; "" none.
        place: on the boards, where the lowest leads; None: on no board, as a test's.
    """

    name: Recipe
    about: str
    base: Recipe = ""
    place: int | None = 50


_DECLARED: dict[Recipe, DeclaredRecipe] = {}


def declare_recipe(
    name: Recipe, about: str, *, base: Recipe = "", place: int | None = 50
) -> DeclaredRecipe:
    """Declare a recipe, in the module of a method or protocol that has values for it.

    Args:
        name: lower case with underscores.
        about: see `DeclaredRecipe`, as for the others.
        base: declared before.
        place: those of the built-in recipes are 10 to 30.

    Raises:
        ContractError: the name is unusable or means another recipe already.
        UnknownNameError: the base is not declared.
    """
    if not re.fullmatch(NAME, name):
        raise ContractError(
            f"a recipe has a name of 1 to 40 lower-case letters, digits and _, not {name!r}"
        )
    if base:
        declared(base)
    recipe = DeclaredRecipe(name, about, base, place)
    if _DECLARED.setdefault(name, recipe) != recipe:
        raise ContractError(
            f"the recipe {name!r} is declared already: {_DECLARED[name].about}; rename one of them"
        )
    return recipe


def all_declared() -> dict[Recipe, DeclaredRecipe]:
    """Return the recipes that are declared by now, those that lead the boards first."""
    last = 1 + max(each.place or 0 for each in _DECLARED.values())
    ordered = sorted(
        _DECLARED.values(), key=lambda each: (last if each.place is None else each.place, each.name)
    )
    return {each.name: each for each in ordered}


def declared(name: Recipe) -> DeclaredRecipe:
    """Return a recipe that is declared by now; `kpbench.registry.find_recipe` asks plugins, too.

    Raises:
        UnknownNameError: there is none of that name; lists those that there are.
    """
    if name in _DECLARED:
        return _DECLARED[name]
    known = all_declared()
    text = str(UnknownNameError.of("recipe", name, known))
    listed = "" if "known: " in text else f" known: {', '.join(known)}"
    raise UnknownNameError(text + listed)


def for_recipe(name: Recipe, values: Mapping[Recipe, _Value], whose: str) -> _Value:
    """Return the value of a recipe, else that of its base, and so on.

    Args:
        name: of the recipe.
        values: by recipe.
        whose: values they are, for the error.

    Raises:
        UnknownNameError: no such recipe, or no value of it or of what it is based on.

    Example:
        >>> for_recipe("standard", {"quick": 1500, "paper": 20_000}, "the toys")
        1500
    """
    base = name
    while base not in values:
        base = declared(base).base
        if not base:
            raise UnknownNameError(
                f"{whose} has nothing for the recipe {name!r}; it has: {', '.join(values)} (and "
                "what is declared with one of these as its base)"
            )
    return values[base]


declare_recipe("quick", "minutes a training on one CPU core", place=30)
declare_recipe("standard", "at most 20 minutes a training on one CPU core", base="quick", place=10)
declare_recipe("paper", "as published: hours a training on a GPU", place=20)
declare_recipe("smoke", "a few steps of a tiny net, for tests", place=None)
