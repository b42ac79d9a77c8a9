"""Training and predicting on image files of the user's own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kpbench.api import FitContext, ImageSet, Method, Progress, Signal
from kpbench.diagnosis.overlay import overlay
from kpbench.errors import DataError, InvalidInputError, StorageError
from kpbench.files.alone import alone_in, lock_of
from kpbench.files.atomic import check_writable, write_atomically
from kpbench.files.folders import readable
from kpbench.files.image.listing import images_of
from kpbench.files.image.reading import SUFFIXES, read_image
from kpbench.files.image.tables import ImageTables
from kpbench.records.model import load_model
from kpbench.registry import configured_method, load_method
from kpbench.running.image_2d import IMAGE_2D

if TYPE_CHECKING:
    from kpbench.running.resolve import Settings

SHOWN = 5
"""Images that an error names."""
LONGEST = 210
"""Bytes of a name to which endings can be added: file systems take 255."""


@dataclass(frozen=True)
class Predicted:
    """What became of one image or video, or, after the last image, of the tables of all.

    Attributes:
        files: that were written.
        fault: why nothing was found, or, of a video, why the files end before it does; names the
            file, or the frame; "" if all is well.
        damaged: numbers of the frames of which the decoder had to guess a part.
    """

    files: Sequence[Path]
    fault: str = ""
    damaged: Sequence[int] = ()


def listed(files: Sequence[Path], tell: Callable[[str], None]) -> list[Path]:
    """Return the same files, and the images of a folder in its place.

    Args:
        files: images, videos and folders.
        tell: is told what of a folder is left out.

    Raises:
        DataError: a folder cannot be read.
        InvalidInputError: a folder holds no image.
    """
    found: list[Path] = []
    for path in files:
        if not path.is_dir():
            found.append(path)
            continue
        images, left_out = images_of(path)
        if left_out:
            tell(left_out)
        if not images:
            raise InvalidInputError(f"{path} holds no image ({', '.join(SUFFIXES)})")
        found += images
    return found


def read_folder(folder: Path, size: int, tell: Callable[[str], None]) -> ImageSet:
    """Read all images of a folder, each resized to size x size pixels.

    Args:
        folder: of images; folders in it are left out.
        size: in pixels.
        tell: is told what is left out.

    Raises:
        InvalidInputError: no such folder, fewer than 2 images, or unusable ones; names them.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"there is no folder {folder}")
    files, left_out = images_of(folder)
    if left_out:
        tell(left_out)
    if len(files) < 2:
        raise InvalidInputError(
            f"{folder} has {len(files)} images ({', '.join(SUFFIXES)}); training needs at least 2"
        )
    images = np.empty((len(files), size, size, 3), np.uint8)
    faults = []
    for image, path in zip(images, files, strict=True):
        try:
            image[:] = read_image(path, size)
        except DataError as error:
            faults.append(str(error))
    if faults:
        more = "; …" if len(faults) > SHOWN else ""
        raise InvalidInputError(
            f"{len(faults)} of {len(files)} images cannot be used: {'; '.join(faults[:SHOWN])}"
            f"{more}. Repair them or take them out of the folder"
        )
    return ImageSet(images)


def train(
    name: str,
    images: ImageSet,
    settings: Settings,
    *,
    role: str,
    n_keypoints: int,
    seed: int,
    progress: Progress,
) -> Method:
    """Train a method, after the one it depends on, and save it to `settings.results`.

    Raises:
        InvalidInputError: the method needs a signal that the images do not have.
        StorageError: the folder cannot be written; nothing was trained.
    """
    made = not settings.results.exists()
    check_writable(settings.results)
    training = settings.results / "training"
    context = FitContext(
        device=settings.device,
        precision=settings.precision,
        recipe=settings.recipe,
        checkpoints=training,
        progress=progress,
    )

    def fitted(name: str, folder: Path, context: FitContext) -> Method:
        method = configured_method(
            name, role=role, recipe=settings.recipe, overrides=settings.overrides.get(name, {})
        )
        _check_task(method)
        seen = images.restricted(method.needs)
        if (below := method.depends_on) is not None:
            inner = replace(context, checkpoints=training / below)
            context = replace(context, dependency=fitted(below, folder / below, inner))
        method.fit(seen, n_keypoints=n_keypoints, seed=seed, context=context)
        method.save(folder)
        return method

    def occupied() -> None:
        raise StorageError(
            f"another process trains a model in {settings.results}; wait for it, or name another "
            "--output"
        )

    try:
        with alone_in(training, occupied):
            method = fitted(name, settings.results, context)
            shutil.rmtree(training, ignore_errors=True)  # finished: not to be resumed
            lock_of(training).unlink(missing_ok=True)
    except BaseException:
        if made:
            with suppress(OSError):  # it holds what can be resumed
                lock_of(training).unlink(missing_ok=True)
                settings.results.rmdir()
        raise
    return method


def trained_methods(name: str) -> tuple[str, ...]:
    """Return the methods that are trained for one: those that it builds on, then itself."""
    below = load_method(name).depends_on
    return (*(() if below is None else trained_methods(below)), name)


def training_signals(name: str) -> tuple[Signal, ...]:
    """Return what training a method needs besides RGB, with the method that it depends on."""
    needs = [signal for each in trained_methods(name) for signal in load_method(each).needs]
    return tuple(dict.fromkeys(needs))


def predict_files(model: Path, files: Sequence[Path], output: Path) -> Iterator[Predicted]:
    """Find keypoints in image files and write keypoints.json, keypoints.csv and overlays.

    One image is held at a time. An overlay is there once its image is done; the tables have their
    names after the last one, and are kept as `keypoints.partial.csv` if it never comes to that. An
    image that cannot be read has a fault and no row, and the next one follows.

    Args:
        model: folder of a trained method.
        files: images; each is predicted alone, at its own size.
        output: folder for the results.

    Yields:
        What became of each image, when it is done; then the tables.

    Raises:
        InvalidInputError: there is no such image, a result would overwrite one, or the method reads
            more than RGB; nothing was done.
        CheckpointError: the model is unusable.
        ContractError: the method found what is no keypoint.
        StorageError: a result cannot be written.
    """
    check_writable(output)
    method = for_rgb(model)
    if missing := [path for path in files if not path.is_file()]:
        raise InvalidInputError(f"there is no image {readable(missing[0])}")
    overlays = [output / f"{name}.keypoints.png" for name in distinct_names(files)]
    names = [output / "keypoints.json", output / "keypoints.csv"]
    check_apart(files, [*names, *overlays], "an image")
    tables = ImageTables(names, about(method))
    try:
        for path, target in zip(files, overlays, strict=True):
            yield _predicted(method, path, target, tables)
    except BaseException:  # Ctrl-C, or a fault of the method: what it found until then is kept
        with suppress(StorageError):
            tables.end(whole=False)
        raise
    yield Predicted(tables.end(whole=True))


def _predicted(method: Method, path: Path, target: Path, tables: ImageTables) -> Predicted:
    """Predict one image."""
    try:
        image = read_image(path)
    except DataError as error:
        return Predicted([], str(error))
    found = method.predict(ImageSet(image[None])).checked(1, None, method.name)
    write_atomically(target, overlay(image, found))
    tables.add(path, image.shape[:2], np.asarray(found.points[0], float))
    return Predicted([target])


def check_apart(files: Sequence[Path], names: Sequence[Path], kind: str) -> None:
    """Check that no result takes the place of a file that is read.

    Raises:
        InvalidInputError: one would; names it.
    """
    read = {path.resolve() for path in files}
    if taken := [name for name in names if name.resolve() in read]:
        raise InvalidInputError(
            f"{readable(taken[0])} is {kind} to read and would be overwritten; choose another "
            "--output"
        )


def _check_task(method: Method) -> None:
    if not IMAGE_2D.accepts(method):
        raise InvalidInputError(f"{method.name} is for {method.task}; images are for image->2D")


def for_rgb(model: Path) -> Method:
    """Load a trained method that finds keypoints in RGB alone.

    Raises:
        InvalidInputError: the method is of another task, or reads more than RGB.
        CheckpointError: the model is unusable.
    """
    method = load_model(model)
    _check_task(method)
    if method.inputs:
        raise InvalidInputError(
            f"{method.name} reads {', '.join(method.inputs)}; image files have RGB alone"
        )
    return method


def about(method: Method) -> dict[str, Any]:
    """Return what the results say of the method that found them."""
    return {"method": method.name, "version": method.version, "params": dict(method.params())}


def distinct_names(files: Sequence[Path]) -> list[str]:
    """Return a name for each file that no other has, in upper or lower case; its stem if it can.

    Example:
        >>> distinct_names([Path("ok.png"), Path("b/ok.png"), Path("OK-1.png")])
        ['ok', 'ok-1', 'OK-1-1']
    """
    names: list[str] = []
    taken: set[str] = set()
    for path in files:
        stem = path.stem
        while len(os.fsencode(stem)) > LONGEST:
            stem = stem[:-1]
        numbered = (f"{stem}-{number}" for number in count(1))
        name = next(name for name in chain([stem], numbered) if name.lower() not in taken)
        names.append(name)
        taken.add(name.lower())
    return names
