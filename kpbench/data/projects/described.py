"""A protocol on a labelled project as a small file (TOML), which holds no folder of anybody's.

The user's settings hold such files in the folder `protocols`; `kpbench.plugins` finds them there
and asks `protocol_of` what each means.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from kpbench.api import Signal
from kpbench.data.dataset import Dataset
from kpbench.data.projects.read import FORMATS
from kpbench.data.projects.rules import evaluators, indexed
from kpbench.data.projects.source import ProjectSource
from kpbench.data.protocol import SPLITS, RealProtocol
from kpbench.errors import DataError, InvalidInputError
from kpbench.files.contents import MEBI, read_text

ROLE = "project"
"""The role of all of these protocols: methods take the settings that they publish for none."""
UNITS = ("image", "px")
GIVEN: tuple[Signal, ...] = ("mask", "frames")
"""Signals that the files of a project may hold."""


@dataclass(frozen=True)
class Description:
    """What a file says.

    Attributes:
        name: of the protocol.
        version: 1 at first, raised with each change.
        about: one sentence.
        k: the number of keypoints that methods are asked for.
        landmarks: names.
        sizes: {"discovery", "regression", "test"}: images.
        source: arguments of `ProjectSource`.
        normaliser: two landmarks, or none.
        unit: "image" or "px", where there is no normaliser.
        height: of what is shown, in pixels, for the unit px.
        pairs: (left, right) names.
        symmetric: whether a symmetric score is possible: no label is missing.
        signals: what all images have besides: "mask", and "frames" where there are videos.
        shared: why test shows videos of training, if it does.
        pixels: side of the packed images.
    """

    name: str
    version: int
    about: str
    k: int
    landmarks: Sequence[str]
    sizes: Mapping[str, int]
    source: Mapping[str, Any]
    normaliser: Sequence[str] = ()
    unit: str = "image"
    height: float = 0.0
    pairs: Sequence[Sequence[str]] = ()
    symmetric: bool = False
    signals: Sequence[str] = ()
    shared: str = ""
    pixels: int = 128

    def protocol(self) -> RealProtocol:
        """Return the protocol.

        Raises:
            InvalidInputError: a value that cannot be; UnknownNameError: a name that there is not.
        """
        pairs = indexed(self.pairs, self.landmarks) if self.symmetric else ()
        specs = evaluators(
            self.name,
            self.landmarks,
            normaliser=self.normaliser,
            pixels=self.height if self.unit == "px" else 0.0,
            pairs=pairs,
            gaps=True,
        )
        source = ProjectSource().configured(dict(self.source))
        form = FORMATS[source.format] if source.format in FORMATS else None
        return RealProtocol(
            name=self.name,
            description=self.about,
            paper="none: labels of your own",
            role=ROLE,
            dataset=Dataset(
                name=self.name,
                title=f"{self.name}, a labelled project ({source.format})",
                about=self.about,
                licence="that of whoever labelled it",
                source="whoever labelled it; a protocol of yours, made by: kpbench data add",
                layout=form.shape if form else "a labelled project",
                evaluators=specs,
            ),
            n_keypoints=self.k,
            landmarks=tuple(self.landmarks),
            evaluator=f"{self.name}/strict",
            source=source,
            published=dict(self.sizes),
            pixels=self.pixels,
            version=self.version,
            shared_identities=self.shared,
            signals=("depth", *(name for name in GIVEN if name in self.signals)),
        )


_ABOUT = {
    "source": "which images and labels there are, and which test",
    "sizes": "images that there were when it was made",
}


def written(description: Description) -> str:
    """Return a description as TOML."""
    values = asdict(description)
    tables = {name: values.pop(name) for name in _ABOUT}
    lines = [
        "# A protocol of kpbench on a labelled project. Whoever has the project adds it with:",
        "# kpbench data add THIS_FILE FOLDER",
    ]
    lines += [f"{key} = {_value(value)}" for key, value in values.items()]
    for name, table in tables.items():
        lines += ["", f"[{name}]  # {_ABOUT[name]}"]
        lines += [f"{key} = {_value(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """Return a value of TOML; its texts, numbers and lists are written as JSON's, but for DEL."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False).replace("\x7f", "\\u007f")


def read_description(path: Path) -> Description:
    """Read a description.

    Raises:
        DataError: the file is missing, no TOML, or a value is of another type; names file and key.
    """
    try:
        found = tomllib.loads(read_text(path, MEBI))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DataError(f"{path}: not TOML: {error}") from None
    known = {f.name: f for f in fields(Description)}
    for key, value in found.items():
        if key not in known:
            raise DataError(f"{path}: nothing is called {key!r}; known: {', '.join(known)}")
        if not _fits(str(known[key].type), value):
            raise DataError(f"{path}: {key} = {value!r} should be {_KINDS[str(known[key].type)]}")
    needed = ("name", "version", "about", "k", "landmarks", "sizes", "source")
    if lacks := [key for key in needed if key not in found]:
        raise DataError(f"{path}: lacks {', '.join(lacks)}; write it with kpbench data add --write")
    if set(found["sizes"]) != set(SPLITS) or found["k"] < 1 or found.get("pixels", 128) < 16:
        raise DataError(f"{path}: sizes of {', '.join(SPLITS)}, k of 1 or more, 16 pixels or more")
    if found.get("unit", "image") not in UNITS:
        raise DataError(f"{path}: unit = {found['unit']!r}; known: {', '.join(UNITS)}")
    return Description(**found)


_KINDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "Sequence[str]": "a list of texts",
    "Sequence[Sequence[str]]": "a list of pairs of texts",
    "Mapping[str, int]": "a table of whole numbers",
    "Mapping[str, Any]": "a table",
}


def _fits(kind: str, value: Any) -> bool:
    if kind.startswith("Mapping"):
        whole = kind == "Mapping[str, int]"
        return isinstance(value, dict) and (not whole or all(_is_whole(v) for v in value.values()))
    if kind.startswith("Sequence[Sequence"):
        pairs = isinstance(value, list) and all(_fits("Sequence[str]", pair) for pair in value)
        return pairs and all(len(pair) == 2 for pair in value)
    if kind.startswith("Sequence"):
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if kind == "int":
        return _is_whole(value)
    if kind == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, bool if kind == "bool" else str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def protocol_of(path: Path) -> RealProtocol:
    """Return the protocol that a file describes.

    Raises:
        DataError: the file is not what `written` writes; names file and key.
        InvalidInputError: a value that cannot be; UnknownNameError: a name that there is not.
    """
    found = read_description(path)
    if found.name != path.stem:
        raise InvalidInputError(f"{path}: is called {found.name!r}; it should be as its file is")
    return found.protocol()
