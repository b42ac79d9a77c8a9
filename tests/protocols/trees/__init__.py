"""Writers of tiny data sets in the exact published layouts; `TREES` has one for each data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from tests.protocols.trees import (
    celeba,
    cub,
    cub_aligned,
    deepfashion,
    human36m,
    human36m_raw,
    labelled_frames,
    taichi,
)


class Write(Protocol):
    """Writes a data set below `root`, which need not exist."""

    def __call__(
        self, root: Path, *, n_train: int = ..., n_test: int = ..., seed: int = ...
    ) -> None:
        """Write `n_train` images to learn from and `n_test` others."""


TREES: Mapping[str, Write] = {
    "human36m": human36m.write,
    "human36m_raw": human36m_raw.write,
    "deepfashion": deepfashion.write,
    "taichi": taichi.write,
    "celeba": celeba.write,
    "cub": cub.write,
    "cub_aligned": cub_aligned.write,
    "lips": labelled_frames.write_lips,
    "tongue": labelled_frames.write_tongue,
    "mirror_mouse": labelled_frames.write_mirror_mouse,
    "fly_wings": labelled_frames.write_fly_wings,
    "yt_faces": labelled_frames.write_yt_faces,
}
"""Data set -> writer."""
