"""A tiny CelebA with MAFL: drawn faces, aligned and as photographed, in the published layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from kpbench.api import Array

ALIGNED = np.array([[69, 111], [108, 111], [88, 136], [73, 152], [105, 152]])
"""The mean of CelebA's aligned points, x and y."""
SMALL_EVERY = 5
"""One of so many faces fills less than 30 % of its photograph."""


@dataclass(frozen=True)
class Face:
    """What is drawn: points (5, 2) int in pixels of the aligned image and of the photograph."""

    name: str
    person: int
    partition: int
    mafl: str
    aligned: Array
    size: tuple[int, int]
    """Width and height of the photograph."""
    wild: Array
    box: tuple[int, int, int, int]
    """x, y, width and height."""

    @property
    def large(self) -> bool:
        return 10 * self.box[2] * self.box[3] >= 3 * self.size[0] * self.size[1]


def faces(n_train: int = 66, n_test: int = 12, seed: int = 0) -> list[Face]:
    """Return the faces in the order of their names; MAFL's are spread at random among them."""
    rng = np.random.default_rng(seed)
    count = n_train + n_test + 20
    roles = rng.permutation(["train"] * n_train + ["test"] * n_test + ["none"] * 20)
    return [_face(rng, i, count, str(roles[i])) for i in range(count)]


def _face(rng: np.random.Generator, i: int, count: int, role: str) -> Face:
    size = int(rng.integers(70, 130)), int(rng.integers(70, 130))
    share = 0.15 if i % SMALL_EVERY == 0 else rng.uniform(0.36, 0.6)
    height = min((share * size[0] * size[1] * 1.25) ** 0.5, size[1] - 2, 1.25 * (size[0] - 2))
    width = height / 1.25
    left = int(rng.integers(0, size[0] - int(width)))
    top = int(rng.integers(0, size[1] - int(height)))
    box = (left, top, int(width) + 1, int(height) + 1)
    aligned = ALIGNED + rng.integers(-3, 4, (5, 2))
    # on a photograph the head of the aligned image fills the box
    wild = np.rint((aligned - (38, 70)) * (box[2] / 100) + (left, top)).astype(int)
    part = 0 if i < 0.8 * count else 1 if i < 0.9 * count else 2
    return Face(f"{i + 1:06d}.jpg", 1000 + i // 3, part, role, aligned, size, wild, box)


def draw(points: Array, size: tuple[int, int], head: tuple[float, ...], seed: int) -> Image.Image:
    """Return a face: an ellipse `head` (left, top, right, bottom) with eyes, nose and mouth."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(60, 110, (size[1], size[0], 3), dtype=np.uint8))
    pen = ImageDraw.Draw(image)
    skin = tuple(int(v) for v in rng.integers((170, 120, 90), (240, 190, 160)))
    pen.ellipse(head, fill=skin)
    radius = max(1.0, (head[2] - head[0]) / 16)
    for x, y in points[:2]:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(20, 20, 60))
    x, y = points[2]
    pen.polygon([(x - radius, y), (x + radius, y), (x, y - 2 * radius)], fill=(120, 70, 50))
    pen.line([tuple(points[3]), tuple(points[4])], fill=(190, 20, 30), width=int(radius) + 1)
    return image


def write(root: Path, *, n_train: int = 66, n_test: int = 12, seed: int = 0) -> None:
    """Write the tree.

    Args:
        root: folder of the data set; made if it is not there.
        n_train: names in MAFL's training list.
        n_test: names in MAFL's test list.
        seed: of all that is drawn.
    """
    found = faces(n_train, n_test, seed)
    for folder in ("Img/img_align_celeba_hq", "Img/img_celeba", "Anno", "Eval", "MAFL"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for i, face in enumerate(found):
        image = draw(face.aligned, (178, 218), (38, 70, 138, 195), seed * 1000 + i)
        image.save(root / "Img/img_align_celeba_hq" / face.name, quality=92)
        x, y, width, height = face.box
        image = draw(face.wild, face.size, (x, y, x + width, y + height), seed * 1000 + i)
        image.save(root / "Img/img_celeba" / face.name, quality=92)
    _write_lists(root, found, np.random.default_rng(seed))


def _write_lists(root: Path, found: list[Face], rng: np.random.Generator) -> None:
    head = " ".join(
        f"{point}_{axis}"
        for point in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
        for axis in "xy"
    )
    _write(
        root / "Anno/list_landmarks_align_celeba.txt",
        [str(len(found)), f"{head} ", *(_row(face, face.aligned.ravel()) for face in found)],
    )
    _write(
        root / "Anno/list_landmarks_celeba.txt",
        [str(len(found)), f"{head} ", *(_row(face, face.wild.ravel()) for face in found)],
    )
    _write(
        root / "Anno/list_bbox_celeba.txt",
        [str(len(found)), "image_id x_1 y_1 width height", *(_row(f, f.box) for f in found)],
    )
    _write(root / "Anno/identity_CelebA.txt", [f"{face.name} {face.person}" for face in found])
    sizes = [f"{face.name} {face.size[1]} {face.size[0]}" for face in found]
    _write(root / "Anno/list_imsize_celeba.txt", sizes)
    _write(root / "Eval/list_eval_partition.txt", [f"{f.name} {f.partition}" for f in found])
    for role, name in (("train", "training"), ("test", "testing")):
        names = [face.name for face in found if face.mafl == role]
        rng.shuffle(names)  # MAFL's lists are in no order
        _write(root / f"MAFL/{name}.txt", names)
    kept = [face.name for face in found if face.partition == 0 and face.mafl != "test"]
    _write(root / "MAFL/celebA_training.txt", kept)


def _row(face: Face, numbers: object) -> str:
    return face.name + "".join(f" {int(number):4d}" for number in numbers)  # type: ignore[attr-defined]


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n")
