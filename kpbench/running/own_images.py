"""Training and predicting on image files of the user's own."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kpbench.api import Array, FitContext, ImageSet, Keypoints, Method, Progress, Signal
from kpbench.diagnosis.overlay import overlay
from kpbench.errors import InvalidInputError, StorageError
from kpbench.files.alone import alone_in, lock_of
from kpbench.files.atomic import check_writable, write_atomically
from kpbench.records.model import load_model
from kpbench.registry import configured_method, load_method
from kpbench.running.image_2d import IMAGE_2D

if TYPE_CHECKING:
    from PIL.Image import Image

    from kpbench.running.resolve import Settings

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")


def read_image(path: Path, size: int | None = None) -> Array:
    """Read an 8-bit colour image as (H, W, 3) uint8, upright if the file says how it was held.

    Args:
        path: the file.
        size: when given, the image is resized to size x size (its aspect is not kept).

    Raises:
        InvalidInputError: missing, unreadable, too large, grey, or of more than 8 bits.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.mode not in ("RGB", "RGBA", "P"):
                raise InvalidInputError(
                    f"{path} is a {image.mode} image; kpbench reads 8-bit colour: "
                    "convert it to RGB first"
                )
            colour = _upright(image.convert("RGB"))
    except FileNotFoundError as error:
        raise InvalidInputError(f"there is no image {path}") from error
    except Image.DecompressionBombError as error:
        raise InvalidInputError(
            f"{path} is too large to be read: {error}; make it smaller first"
        ) from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise InvalidInputError(f"{path} cannot be read as an image: {error}") from error
    return np.asarray(colour if size is None else colour.resize((size, size)))


def _upright(image: Image) -> Image:
    """Return an image turned as its EXIF says; a damaged EXIF says nothing."""
    from PIL.ImageOps import exif_transpose

    try:
        return exif_transpose(image)
    except Exception:  # of many types, none documented
        return image


def read_folder(folder: Path, size: int) -> ImageSet:
    """Read all images of a folder, each resized to size x size pixels.

    Raises:
        InvalidInputError: no such folder, fewer than 2 images, or an unusable image.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"there is no folder {folder}")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if len(files) < 2:
        raise InvalidInputError(
            f"{folder} has {len(files)} images ({', '.join(SUFFIXES)}); training needs at least 2"
        )
    return ImageSet(np.stack([read_image(path, size) for path in files]))


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


def predict_files(model: Path, files: Sequence[Path], output: Path) -> list[Path]:
    """Find keypoints in image files and write keypoints.json, keypoints.csv and overlays.

    Args:
        model: folder of a trained method.
        files: images; each is predicted alone, at its own size.
        output: folder for the results.

    Returns:
        The files that were written.

    Raises:
        InvalidInputError: an image is unusable, or the method reads more than RGB.
        CheckpointError: the model is unusable.
    """
    check_writable(output)
    method = for_rgb(model)
    images = [read_image(path) for path in files]
    found = [
        method.predict(ImageSet(image[None])).checked(1, None, method.name) for image in images
    ]
    rows = [_row(*item) for item in zip(files, images, found, strict=True)]
    text = json.dumps({"model": about(method), "images": rows}, indent=1, allow_nan=False)
    written = [output / "keypoints.json", output / "keypoints.csv"]
    write_atomically(written[0], text.encode())
    write_atomically(written[1], _csv(rows).encode())
    for name, image, keypoints in zip(distinct_names(files), images, found, strict=True):
        written.append(output / f"{name}.keypoints.png")
        write_atomically(written[-1], overlay(image, keypoints))
    return written


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
        numbered = (f"{path.stem}-{number}" for number in count(1))
        name = next(name for name in chain([path.stem], numbered) if name.lower() not in taken)
        names.append(name)
        taken.add(name.lower())
    return names


def _row(path: Path, image: Array, found: Keypoints) -> dict[str, Any]:
    height, width = image.shape[:2]
    points = np.asarray(found.points[0], float)
    return {
        "file": str(path),
        "width": width,
        "height": height,
        "keypoints": points.round(6).tolist(),
        "keypoints_px": (points * [width, height]).round(3).tolist(),
    }


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["file", "keypoint", "x", "y", "x_px", "y_px"])
    for row in rows:
        pairs = zip(row["keypoints"], row["keypoints_px"], strict=True)
        for k, (point, pixel) in enumerate(pairs):
            writer.writerow([row["file"], k, *point, *pixel])
    return buffer.getvalue()
