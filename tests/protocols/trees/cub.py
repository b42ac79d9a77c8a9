"""A tiny CUB-200-2011 with CMR's mat-files: drawn birds that look to the left or to the right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from kpbench.api import Array

CLASSES = (
    *("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross"),
    "004.Groove_billed_Ani",
)
# back beak belly breast crown forehead left_eye left_leg left_wing nape right_eye right_leg
# right_wing tail throat, of a bird that looks to the left, its body about (0, 0)
SHAPE = np.array(
    [
        *[(0.05, -0.22), (-0.62, -0.38), (0.0, 0.25), (-0.25, 0.12), (-0.42, -0.55)],
        *[(-0.5, -0.47), (-0.45, -0.42), (-0.05, 0.45), (0.08, 0.0), (-0.3, -0.42)],
        *[(-0.43, -0.43), (0.07, 0.45), (0.06, -0.03), (0.62, 0.1), (-0.42, -0.25)],
    ]
)
LEFT, RIGHT = (6, 8), (10, 12)
"""Eye and wing of each side: hidden on the far one."""


@dataclass(frozen=True)
class Bird:
    """What is drawn; pixels from 0.

    Attributes:
        number: of the class.
        path: below images/.
        part: "train", "val", "test", or "both" halves of the test split.
        size: width and height of the image.
        points: (15, 2) int.
        seen: (15,) bool.
        box: left, top, right, bottom; right and bottom are not included.
    """

    number: int
    path: str
    part: str
    size: tuple[int, int]
    points: Array
    seen: Array
    box: tuple[int, int, int, int]


def pose(rng: np.random.Generator, size: tuple[int, int], to_left: bool) -> tuple[Array, Array]:
    """Return the parts (15, 2) int of a bird in an image, and which can be seen."""
    shape = SHAPE + rng.normal(0, 0.02, SHAPE.shape)
    shape[[1, 4, 5, 6, 9, 10, 14]] += rng.normal(0, 0.04, 2)  # the head moves
    if not to_left:
        shape[:, 0] *= -1
    # the drawing reaches about 0.65 to the sides, 0.6 up and 0.5 down: some birds touch the border
    scale = min(size[0] / 1.35, size[1] / 1.12) * rng.uniform(0.85, 0.97)
    room = np.array(size) - scale * np.array([1.35, 1.12])
    centre = scale * np.array([0.67, 0.6]) + np.maximum(room, 0) * rng.uniform(0, 1, 2)
    points = np.clip(np.rint(centre + scale * shape), 0, np.array(size) - 1).astype(int)
    seen = np.ones(15, bool)
    seen[list(RIGHT if to_left else LEFT)] = False
    return points, seen


def draw(points: Array, size: tuple[int, int], seed: int, *, grey: bool) -> Image.Image:
    """Return a bird on a lawn."""
    rng = np.random.default_rng(seed)
    ground = rng.integers((40, 90, 30), (70, 140, 60), (30, 30, 3), dtype=np.uint8)
    image = Image.fromarray(ground).resize(size, Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(image)
    at = {i: (float(x), float(y)) for i, (x, y) in enumerate(points)}
    dark, light = (90, 60, 40), (220, 210, 190)
    for leg in (7, 11):
        pen.line([at[2], at[leg]], fill=(200, 150, 20), width=2)
    pen.polygon([at[0], at[13], at[2]], fill=dark)
    pen.polygon([at[9], at[0], at[2], at[3], at[14]], fill=light)
    pen.polygon([at[9], at[4], at[5], at[14]], fill=(250, 250, 120))
    pen.polygon([at[5], at[1], at[14]], fill=(230, 120, 20))
    radius = 2 + min(size) // 100
    for eye in (6, 10):
        x, y = at[eye]
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(0, 0, 0))
    return image.convert("L") if grey else image


def birds(n_train: int = 72, n_test: int = 12, seed: int = 0) -> list[Bird]:
    """Return the birds: classes 1 to 3 with these counts each, and a few of class 4.

    Half of a class's test images are in "val", half in "test", and one is in both.
    """
    rng = np.random.default_rng(seed)
    found = []
    for name in CLASSES:
        few = 1 if name[:3] != "004" else 6
        parts = ["train"] * (n_train // few)
        parts += ["val", "test"] * (n_test // few // 2)
        parts[-1] = "both" if name[:3] == "001" else parts[-1]
        sides = rng.permutation(len(parts)) % 2 == 0
        for i, part in enumerate(parts):
            size = int(rng.integers(75, 130)), int(rng.integers(60, 100))
            points, seen = pose(rng, size, bool(sides[i]))
            low, high = points.min(0), points.max(0)
            box = (int(low[0]), int(low[1]), int(high[0]) + 1, int(high[1]) + 1)
            path = f"{name}/{name[4:]}_{i + 1:04d}_{796000 + i}.jpg"
            found.append(Bird(int(name[:3]), path, part, size, points, seen, box))
    return found


def write(root: Path, *, n_train: int = 72, n_test: int = 12, seed: int = 0) -> None:
    """Write the tree.

    Args:
        root: folder of the data set; made if it is not there.
        n_train: training images of each of the classes 1 to 3.
        n_test: test images of each of them.
        seed: of all that is drawn.
    """
    found = birds(n_train, n_test, seed)
    for i, bird in enumerate(found):
        path = root / "CUB_200_2011" / "images" / bird.path
        path.parent.mkdir(parents=True, exist_ok=True)
        # some of CUB's images are grey
        draw(bird.points, bird.size, seed * 1000 + i, grey=i % 20 == 19).save(path, quality=92)
    for part in ("train", "val", "test"):
        names = {part} if part == "train" else {part, "both"}
        write_mat(root, part, [bird for bird in found if bird.part in names])


def write_mat(root: Path, part: str, found: list[Bird], kind: type = np.float64) -> None:
    """Write one of CMR's mat-files, whose numbers have the type `kind`."""
    from scipy.io import savemat

    names = ("rel_path", "bbox", "parts", "mask", "class_id", "test")
    images = np.empty((1, len(found)), dtype=[(name, object) for name in names])
    for i, bird in enumerate(found):
        left, top, right, bottom = bird.box
        images[0, i]["rel_path"] = bird.path
        corners = {"x1": left + 1, "y1": top + 1, "x2": right, "y2": bottom}
        images[0, i]["bbox"] = {k: kind(v) for k, v in corners.items()}
        parts: Array = np.zeros((3, len(bird.seen)), kind)
        parts[:2, bird.seen] = bird.points[bird.seen].T + 1
        parts[2] = bird.seen
        images[0, i]["parts"] = parts
        images[0, i]["mask"] = np.zeros(bird.size[::-1], bool)
        images[0, i]["class_id"] = kind(bird.number)
        images[0, i]["test"] = kind(part != "train")
    folder = root / "CUB_200_2011" / "cachedir" / "cub" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / f"{part}_cub_cleaned.mat", {"images": images}, do_compression=True)
