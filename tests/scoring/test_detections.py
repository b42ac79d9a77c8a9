"""Detections: what is refused, and that arrays of any size are read part by part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kpbench.errors import InvalidInputError
from kpbench.scoring.evaluators import Detections

STATUS = Path("/proc/self/status")


def test_detections_refuse_bad_arrays() -> None:
    keypoints, landmarks = np.full((4, 3, 2), 0.5), np.full((4, 5, 2), 0.5)
    visible = np.ones((4, 5), bool)
    nan = keypoints.copy()
    nan[[0, 2], 1] = np.nan
    for arrays, words in [
        ((keypoints[0], landmarks, visible), "keypoints must have shape"),
        ((keypoints[:0], landmarks, visible), "keypoints must have shape"),
        ((keypoints, landmarks[..., :1], visible), "landmarks must have shape"),
        ((keypoints[:3], landmarks, visible), "keypoints of 3 images but landmarks of 4"),
        ((nan, landmarks, visible), "keypoints are NaN or infinite in 2 of 4 images"),
        ((keypoints * 256, landmarks, visible), "divide pixels by the image size"),
        ((keypoints, landmarks * 256, visible), "landmarks must be .* divide pixels"),
        ((keypoints, landmarks, visible.astype(int)), "visible must be bool"),
        ((keypoints, landmarks, visible[:, :3]), "visible must be bool of shape"),
        ((keypoints.astype(object), landmarks, visible), "floats, got object"),
        ((keypoints.astype(str), landmarks, visible), "floats, got <U"),
    ]:
        with pytest.raises(InvalidInputError, match=words):
            Detections(*arrays)
    with pytest.raises(InvalidInputError, match="activities must have shape"):
        Detections(keypoints, landmarks, visible, np.array(["a"]))


def test_what_is_handed_in_is_viewed_not_copied_and_not_writeable() -> None:
    keypoints = np.full((4, 3, 2), 0.5, np.float32)
    found = Detections(keypoints, np.full((4, 5, 2), 0.5), np.ones((4, 5), bool))
    assert np.shares_memory(found.keypoints, keypoints)
    assert keypoints.flags.writeable and not found.keypoints.flags.writeable


def test_parts_are_all_images_once_in_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kpbench.scoring.detections.ROWS", 3)
    rng = np.random.default_rng(0)
    keypoints, landmarks = rng.random((8, 3, 2), np.float32), rng.random((8, 5, 2), np.float32)
    visible = rng.random((8, 5)) < 0.5
    landmarks[~visible] = np.nan
    boxes, aspect = rng.uniform(0.1, 0.9, (8, 4)), rng.uniform(0.5, 2, 8)
    data = Detections(keypoints, landmarks, visible, None, boxes, aspect)
    parts = list(data.parts())
    assert [part.rows for part in parts] == [slice(0, 3), slice(3, 6), slice(6, 8)]
    for name in ("keypoints", "visible", "boxes", "aspect"):
        whole = np.concatenate([getattr(part, name) for part in parts])
        assert np.array_equal(whole, getattr(data, name))
        assert whole.dtype == (bool if name == "visible" else np.float64)
    labels = np.concatenate([part.landmarks for part in parts])
    assert np.array_equal(labels, np.where(visible[..., None], landmarks, 0))


def test_a_fault_in_the_last_part_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kpbench.scoring.detections.ROWS", 3)
    keypoints, landmarks = np.full((8, 3, 2), 0.5), np.full((8, 5, 2), 0.5)
    visible = np.ones((8, 5), bool)
    for value, words in ((np.nan, "NaN or infinite in 2 of 8"), (128.0, "0.5 to 128; divide")):
        broken = keypoints.copy()
        broken[[1, 7], 0, 0] = value
        with pytest.raises(InvalidInputError, match=words):
            Detections(broken, landmarks, visible)


@pytest.mark.skipif(not STATUS.exists(), reason="the kernel does not tell how much is resident")
def test_reading_a_mapped_file_does_not_keep_it_in_memory(tmp_path: Path) -> None:
    def resident() -> int:
        """Kilobytes of mapped files in memory."""
        lines = dict(line.split(":") for line in STATUS.read_text().splitlines())
        return int(lines["RssFile"].split()[0])

    for name, points in (("keypoints", 16), ("landmarks", 48)):
        np.save(tmp_path / f"{name}.npy", np.full((40_000, points, 2), 0.5))
    mapped = [np.load(tmp_path / f"{n}.npy", mmap_mode="r") for n in ("keypoints", "landmarks")]
    before = resident()
    keypoints, landmarks = mapped
    data = Detections(keypoints, landmarks, np.broadcast_to(np.True_, (40_000, 48)))
    assert sum(float(part.keypoints.sum()) for part in data.parts()) == 40_000 * 16
    assert resident() - before < 8_000  # of 41 MB
    assert float(mapped[0].sum()) + float(mapped[1].sum()) == 40_000 * 64
    assert resident() - before > 30_000


def test_what_was_written_to_a_private_mapping_is_not_lost(tmp_path: Path) -> None:
    """Dropping the pages of such a mapping would drop the changes."""
    np.save(tmp_path / "keypoints.npy", np.full((5_000, 3, 2), 0.5))
    private = np.load(tmp_path / "keypoints.npy", mmap_mode="c")
    private[4_000] = 0.25
    data = Detections(private, np.full((5_000, 5, 2), 0.5), np.ones((5_000, 5), bool))
    assert sum(float(part.keypoints.sum()) for part in data.parts()) == 5_000 * 3 - 1.5
    assert (private[4_000] == 0.25).all()
