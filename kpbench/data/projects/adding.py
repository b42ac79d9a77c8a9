"""Adding a labelled project to the user's protocols, and taking it away."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kpbench.data.locate import find_root, forget_root, save_root
from kpbench.data.projects.described import Description, read_description, written
from kpbench.data.projects.frame_source import AROUND, fixed_crop
from kpbench.data.projects.project import Project
from kpbench.data.projects.read import format_of
from kpbench.data.projects.rules import evaluators, indexed, likely_pairs
from kpbench.data.projects.source import ProjectSource
from kpbench.data.source import Rows
from kpbench.errors import InvalidInputError, UnknownNameError
from kpbench.files.atomic import write_atomically
from kpbench.files.image.sizes import image_sizes
from kpbench.plugins import described as place
from kpbench.registry import available, datasets

FEW = 10
"""Labelled images below which a score says little."""


def described(
    name: str,
    folder: Path,
    source: ProjectSource,
    *,
    k: int,
    normaliser: Sequence[str] = (),
    unit: str = "image",
    pairs: Sequence[Sequence[str]] | None = None,
) -> Description:
    """Read a project and return its description; nothing is written.

    Args:
        name: of the protocol.
        folder: of the project.
        source: which labels and images; the format and the fingerprint are filled in.
        k: the number of keypoints; 0: as many as there are landmarks.
        normaliser: two landmarks, or none.
        unit: "image" or "px", where there is no normaliser.
        pairs: (left, right) names; None: as the names of the landmarks tell.

    Raises:
        InvalidInputError: an argument that cannot be; says what to do.
        UnknownNameError: a name that there is not.
        DataError: a file is not what its format says; names file, row and column.
    """
    check_name(name)
    source = replace(source, format=format_of(folder, source.format), fingerprint="")
    project = source.project(folder)
    source = replace(source, fingerprint=project.fingerprint(folder))
    parts = {split: source.rows(folder, part) for split, part in source.parts.items()}
    mirrored = likely_pairs(project) if pairs is None else tuple((a, b) for a, b in pairs)
    indexed(mirrored, project.names)
    evaluators(name, project.names, normaliser=normaliser)
    labelled = [parts["regression"], parts["test"]]
    _check_normaliser(normaliser, project, parts["test"])
    found = Description(
        name=name,
        version=1,
        about=_about(project, source, k or len(project.names)),
        k=k or len(project.names),
        landmarks=list(project.names),
        sizes={split: len(rows) for split, rows in parts.items()},
        source=source.arguments,
        normaliser=list(normaliser),
        unit=unit,
        height=0.0 if normaliser or unit != "px" else _height(folder, source, parts["test"]),
        pairs=[list(pair) for pair in mirrored],
        symmetric=bool(mirrored) and all(_all_seen(rows) for rows in labelled),
        signals=[
            signal
            for signal, column in (("mask", "masks"), ("frames", "neighbours"))
            if all(getattr(rows, column) is not None for rows in parts.values())
        ],
        shared=_shared(parts["regression"], parts["test"]),
    )
    return _versioned(found)


LONGEST = 100
"""Letters of a name: it is part of the names of files."""


def check_name(name: str) -> None:
    """Check that a name can be a new protocol's, or is one that was added.

    Raises:
        InvalidInputError: a name that no command can hold, or that is taken.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise InvalidInputError(f"a protocol cannot be called {name!r}; use a-z, 0-9 and _")
    if len(name) > LONGEST:
        raise InvalidInputError(
            f"{name[:20]}… is too long: it has {len(name)} letters, and may have {LONGEST}"
        )
    plugin = available("protocols").get(name)
    taken = plugin is not None and not plugin.is_described
    if taken or name in available("methods") or (plugin is None and name in datasets()):
        raise InvalidInputError(f"the name {name!r} is taken; see kpbench list")


def save(description: Description, folder: Path) -> Path:
    """Write a description to the user's settings, and where the project lies; return the file.

    Raises:
        StorageError: the settings cannot be written.
        InvalidInputError: the folder is none.
    """
    save_root(description.name, folder)
    path = path_of(description.name)
    write_atomically(path, written(description).encode())
    return path


def add_file(file: Path, folder: Path | None) -> tuple[Description, Path]:
    """Add the protocol that a file describes; return it and the project's folder.

    Args:
        file: written by `kpbench data add --write`.
        folder: of the project; None: the one that is known, else the one that the file lies in.

    Raises:
        DataError: the file, or a file of the project, is not what it should be; names it; or the
            labels are others than the description's.
        InvalidInputError: the name is taken, or there is no such folder.
    """
    found = read_description(file)
    check_name(found.name)
    protocol = found.protocol()
    where = folder or find_root(found.name) or file.absolute().parent
    if not where.is_dir():
        raise InvalidInputError(f"there is no folder {where}")
    for split, part in protocol.source.parts.items():
        count = len(protocol.source.rows(where, part))
        if count != found.sizes[split]:
            raise InvalidInputError(
                f"{where}: {count:,} images of {split}, {file.name} says {found.sizes[split]:,}"
            )
    save(found, where)
    return found, where


def remove(name: str) -> Path:
    """Remove a protocol from the user's settings; the project's folder is not touched.

    Raises:
        UnknownNameError: none of that name was added.
        InvalidInputError: it belongs to kpbench or to a plugin.
    """
    path = path_of(name)
    if not path.is_file():
        if name in available("protocols"):
            raise InvalidInputError(f"{name} was not added with kpbench data add; it stays")
        raise UnknownNameError.of("added protocol", name, [p.stem for p in place.files()])
    path.unlink()
    forget_root(name)
    return path


def path_of(name: str) -> Path:
    """Return the file of an added protocol; it need not exist."""
    return place.folder() / f"{name}{place.ENDING}"


def warnings(description: Description, folder: Path) -> Iterator[str]:
    """Yield what a user has to know about a protocol that was added."""
    source = ProjectSource().configured(dict(description.source))
    test, train = (source.rows(folder, part) for part in ("test", "train"))
    if description.shared:
        yield description.shared
    for what, rows in (("train", train), ("test", test)):
        if len(rows) < FEW:
            yield f"only {len(rows)} labelled images {what}; a score on so few says little"
    seen = np.asarray(train.visible).sum(0)
    features = 2 * description.k + 1
    few = [n for n, c in zip(description.landmarks, seen.tolist(), strict=True) if c < features]
    if few:
        yield (
            f"{len(few)} landmarks have fewer labels in training than the regression of "
            f"{description.k} keypoints has numbers ({features}): {', '.join(few)}; --k may be less"
        )
    if description.pairs and not description.symmetric:
        yield "no symmetric score: it has no rule for labels that are missing"


def _versioned(found: Description) -> Description:
    """Return a description with the version of an equal one that was added, or with the next."""
    path = path_of(found.name)
    if not path.is_file():
        return found
    before = read_description(path)
    same = written(replace(found, version=before.version)) == written(before)
    return replace(found, version=before.version + (not same))


def _about(project: Project, source: ProjectSource, k: int) -> str:
    images = len(np.unique(project.labelled.files))
    shown = {"whole": "", "box": ", cropped by box", "labels": ", cropped by their labels"}
    crop = shown.get(source.crop, f", cropped to {source.crop}")
    return (
        f"A project of {project.format}{crop}: {images:,} labelled images, "
        f"{len(project.names)} landmarks; where are they?"
    )


def _check_normaliser(normaliser: Sequence[str], project: Project, test: Rows) -> None:
    if not normaliser:
        return
    assert test.visible is not None
    columns = [project.names.index(landmark) for landmark in normaliser]
    if not test.visible[:, columns].all(1).any():
        raise InvalidInputError(
            f"--normaliser {','.join(normaliser)}: no test image has both labels; choose two that "
            "are always seen, or --unit image"
        )


def _height(folder: Path, source: ProjectSource, test: Rows) -> float:
    """Return the height of what is shown, which must be one for all test images."""
    if source.crop in AROUND:
        raise InvalidInputError(
            f"--unit px: with --crop {source.crop} images are shown at different scales; choose "
            "--unit image, or --normaliser"
        )
    if source.crop != "whole":
        return fixed_crop(source.crop)[3]
    names = sorted({str(name) for name in test.files})
    if source.format == "sleap":
        heights = {source.picture(folder, name)[0].size[1] for name in names}
    else:
        heights = set(image_sizes([folder / name for name in names])[:, 1].tolist())
    if len(heights) > 1:
        raise InvalidInputError(
            f"--unit px: test images are {min(heights)} to {max(heights)} pixels high, all shown "
            "at one size; choose --unit image, or --normaliser"
        )
    return float(heights.pop())


def _all_seen(rows: Rows) -> bool:
    return rows.visible is not None and bool(rows.visible.all())


def _shared(train: Rows, test: Rows) -> str:
    """Return a sentence when one video is on both sides; "" when none is."""
    assert train.groups is not None and test.groups is not None
    both = set(train.groups.tolist()) & set(test.groups.tolist())
    if not both:
        return ""
    counts = {
        side: sum(n for video, n in Counter(rows.groups.tolist()).items() if video in both)
        for side, rows in (("train", train), ("test", test))
        if rows.groups is not None
    }
    return (
        f"images of {_videos(len(both))} are on both sides, {counts['train']} in train and "
        f"{counts['test']} in test: the score is that of frames between labelled ones"
    )


def _videos(count: int) -> str:
    return "one video" if count == 1 else f"{count:,} videos"
