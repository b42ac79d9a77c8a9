"""Parameters: what values they may have, by the annotations of a dataclass's fields.

A type may be bounded: `Annotated[int, annotated_types.Ge(1)]`, or pydantic's `Field`. The types
here are those that several plugins need.
"""

from __future__ import annotations

import inspect
import json
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Interval, Unit

from kpbench.errors import InvalidInputError, KpbenchError, UnknownNameError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Pixels = Annotated[int, Interval(ge=1, le=16_384), Unit("pixels")]
Images = Annotated[int, Ge(1), Unit("images")]
Steps = Annotated[int, Ge(1), Unit("steps")]
Channels = Annotated[int, Interval(ge=1, le=16_384), Unit("channels")]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Interval(ge=0, le=1)]

MOST_KEYPOINTS = 4096
LAST_SEED = 2**63 - 1
"""What PyTorch, numpy and the JSON of a record have in common."""

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_BOUNDS = {"ge": "of {} or more", "gt": "above {}", "le": "at most {}", "lt": "below {}"}


def check_parameters(
    owner: type, values: Mapping[str, Any], whose: str, error: type[KpbenchError]
) -> None:
    """Check values against the annotations of a dataclass; none is changed.

    A field that a subclass gives another default keeps the range of its base. Values are taken as
    JSON: a whole number is a number, too, but 2.0 is no whole number, "9" is no
    number and 1 is not true. No number is infinite or NaN. A field whose annotation cannot be
    resolved, or is of no type that JSON has, takes any value.

    Args:
        owner: the dataclass.
        values: by the names of its fields.
        whose: they are, for the messages.
        error: what is raised for a value.

    Raises:
        UnknownNameError: there is no such field; suggests the nearest.
        KpbenchError: `error`, with the value and what is allowed.

    Example:
        >>> from dataclasses import dataclass
        >>> from kpbench.errors import TrainingError
        >>> count = Annotated[int, Ge(1)]
        >>> Toy = dataclass(type("Toy", (), {"__annotations__": {"steps": count}, "steps": 9}))
        >>> check_parameters(Toy, {"steps": 2.5}, "toy", TrainingError)
        Traceback (most recent call last):
        kpbench.errors.TrainingError: toy: steps must be a whole number of 1 or more, got 2.5
    """
    known = _annotations(owner)
    for name, value in values.items():
        if name not in known:
            raise UnknownNameError.of(f"parameter of {whose}", name, known)
        for annotation in known[name]:
            check_value(annotation, value, f"{whose}: {name}", error)


def check_value(
    annotation: Any, value: Any, whose: str, error: type[KpbenchError] = InvalidInputError
) -> None:
    """Check one value against a type; see `check_parameters`."""
    from pydantic import ValidationError

    adapter = _adapter(annotation)
    if adapter is None:
        return
    try:
        adapter.validate_json(json.dumps(value), strict=True)
    except (ValidationError, TypeError, ValueError) as cause:
        raise error(
            f"{whose} must be {allowed(annotation)}, got {_shown(value)}" + _own_words(cause)
        ) from cause


@cache
def _annotations(owner: type) -> dict[str, tuple[Any, ...]]:
    """Return what is said of each field that can be set, by the bases first."""
    return {f.name: tuple(_said(owner, f.name)) for f in fields(owner) if f.init}


def _said(owner: type, name: str) -> Iterator[Any]:
    """Yield the types that a class and its bases give a field; those that can be resolved."""
    for by in reversed(owner.__mro__):
        annotation = inspect.get_annotations(by).get(name)
        module = sys.modules.get(by.__module__)
        if isinstance(annotation, str):
            try:
                annotation = eval(annotation, dict(vars(module)) if module else {}, dict(vars(by)))
            except Exception:  # of what is imported for type checkers alone, or a foreign mistake
                continue
        if annotation is not None:
            yield annotation


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    """Return what checks a type, None where it is of no kind that JSON has."""
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter

    try:
        return TypeAdapter(annotation, config=ConfigDict(allow_inf_nan=False))
    except (PydanticUserError, TypeError, NameError):
        return None


def allowed(annotation: Any) -> str:
    """Return the values of a type in words.

    Example:
        >>> allowed(Share), allowed(Pixels | None)
        ('a number from 0 to 1', 'a whole number from 1 to 16384 (pixels), or null')
        >>> allowed(Literal["constant", "cosine"])
        'one of constant, cosine'
    """
    if get_origin(annotation) is Annotated:
        base, *marks = get_args(annotation)
        return _bounded(allowed(base), dict(_bounds(marks)))
    if get_origin(annotation) is Literal:
        return f"one of {', '.join(str(value) for value in get_args(annotation))}"
    if get_origin(annotation) in (Union, types.UnionType):
        return ", or ".join(map(allowed, get_args(annotation)))
    if annotation in (None, type(None)):
        return "null"
    name = getattr(annotation, "__name__", "")
    plain = isinstance(annotation, type) and not get_args(annotation)
    return _WORDS.get(annotation, name if plain else str(annotation).removeprefix("typing."))


def _bounds(marks: list[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the bounds and the unit that stand beside a type, by their names."""
    for mark in marks:
        if isinstance(inner := getattr(mark, "metadata", None), list):  # pydantic's Field
            yield from _bounds(inner)
        for name in (*_BOUNDS, "multiple_of", "unit"):
            if (value := getattr(mark, name, None)) is not None:
                yield name, value


def _bounded(words: str, bounds: Mapping[str, Any]) -> str:
    if "ge" in bounds and "le" in bounds:
        parts = [f"from {bounds['ge']} to {bounds['le']}"]
    else:
        parts = [text.format(bounds[name]) for name, text in _BOUNDS.items() if name in bounds]
    text = " and ".join([words + (f" {parts[0]}" if parts else ""), *parts[1:]])
    if "multiple_of" in bounds:
        text += f" that is a multiple of {bounds['multiple_of']}"
    return text + (f" ({bounds['unit']})" if "unit" in bounds else "")


def _shown(value: Any) -> str:
    """Return a value as JSON, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):  # no JSON; or a number of more digits than Python prints
        text = "a number of thousands of digits" if type(value) is int else type(value).__name__
    return text if len(text) <= 80 else f"{text[:77]}..."


def _own_words(cause: Exception) -> str:
    """Return what a validator of the plugin's own says."""
    from pydantic import ValidationError

    if not isinstance(cause, ValidationError):
        return ""
    said = [e["msg"] for e in cause.errors() if e["type"] in ("value_error", "assertion_error")]
    return f": {said[0]}" if said else ""
