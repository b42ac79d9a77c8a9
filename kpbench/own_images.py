"""Training and predicting on image files of the user's own."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kpbench.api import Array, FitContext, ImageSet, Keypoints, Method, Progress, Signal
from kpbench.checkpoint import load_model
from kpbench.errors import InvalidInputError
from kpbench.registry import load_method
from kpbench.storage import check_writable, write_atomically

if TYPE_CHECKING:
    from kpbench.run import Settings

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")


def read_image(path: Path, size: int | None = None) -> Array:
    """Read an 8-bit colour image as (H, W, 3) uint8.

    Args:
        path: the file.
        size: when given, the image is resized to size x size (its aspect is not kept).

    Raises:
        InvalidInputError: missing, unreadable, grey, or of more than 8 bits.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.mode not in ("RGB", "RGBA", "P"):
                raise InvalidInputError(
                    f"{path} is a {image.mode} image; kpbench reads 8-bit colour: "
                    "convert it to RGB first"
                )
            colour = image.convert("RGB")
    except FileNotFoundError as error:
        raise InvalidInputError(f"there is no image {path}") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise InvalidInputError(f"{path} cannot be read as an image: {error}") from error
    return np.asarray(colour if size is None else colour.resize((size, size)))


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
    check_writable(settings.results)
    method = load_method(name).configured(
        role=role, recipe=settings.recipe, overrides=settings.overrides.get(name, {})
    )
    seen = images.restricted(method.needs)
    dependency = None
    if method.depends_on is not None:
        below = replace(settings, results=settings.results / method.depends_on)
        dependency = train(
            method.depends_on,
            images,
            below,
            role=role,
            n_keypoints=n_keypoints,
            seed=seed,
            progress=progress,
        )
    context = FitContext(
        device=settings.device,
        precision=settings.precision,
        recipe=settings.recipe,
        checkpoints=settings.results / "training",
        progress=progress,
        dependency=dependency,
    )
    method.fit(seen, n_keypoints=n_keypoints, seed=seed, context=context)
    method.save(settings.results)
    return method


def training_signals(name: str) -> tuple[Signal, ...]:
    """Return what training a method needs besides RGB, with the method that it depends on."""
    method = load_method(name)
    below = () if method.depends_on is None else training_signals(method.depends_on)
    return tuple(dict.fromkeys([*method.needs, *below]))


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
    method = load_model(model)
    if method.inputs:
        raise InvalidInputError(
            f"{method.name} reads {', '.join(method.inputs)}; image files have RGB alone"
        )
    images = [read_image(path) for path in files]
    found = [
        method.predict(ImageSet(image[None])).checked(1, None, method.name) for image in images
    ]
    rows = [_row(*item) for item in zip(files, images, found, strict=True)]
    about = {"method": method.name, "version": method.version, "params": dict(method.params())}
    text = json.dumps({"model": about, "images": rows}, indent=1, allow_nan=False)
    written = [output / "keypoints.json", output / "keypoints.csv"]
    write_atomically(written[0], text.encode())
    write_atomically(written[1], _csv(rows).encode())
    for number, (path, image, keypoints) in enumerate(zip(files, images, found, strict=True)):
        repeated = path.stem in [other.stem for other in files[:number]]
        name = f"{path.stem}-{number}" if repeated else path.stem
        written.append(output / f"{name}.keypoints.png")
        write_atomically(written[-1], overlay(image, keypoints))
    return written


def _row(path: Path, image: Array, found: Keypoints) -> dict[str, Any]:
    height, width = image.shape[:2]
    points = np.asarray(found.points[0], float)
    return {
        "file": path.name,
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


def overlay(image: Array, found: Keypoints, side: int = 256) -> bytes:
    """Return a PNG of the image, enlarged to `side`, with keypoints and the strong edges."""
    from matplotlib import colormaps
    from PIL import Image, ImageDraw

    height, width = image.shape[:2]
    scale = max(1.0, side / min(height, width))
    canvas = Image.fromarray(image).resize((round(width * scale), round(height * scale)))
    draw = ImageDraw.Draw(canvas)
    points = np.asarray(found.points[0]) * [canvas.width, canvas.height]
    if found.graph is not None:
        weights = np.triu(np.asarray(found.graph), 1)
        for a, b in np.argwhere(weights > 0.5 * weights.max()):
            draw.line([tuple(points[a]), tuple(points[b])], fill=(255, 255, 255), width=2)
    radius = max(3, min(canvas.size) // 64)
    colours = colormaps["hsv"](np.arange(len(points)) / len(points), bytes=True)
    for (x, y), colour in zip(points, colours, strict=True):
        box = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse(box, fill=tuple(int(c) for c in colour[:3]), outline=(0, 0, 0))
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG")
    return buffer.getvalue()
