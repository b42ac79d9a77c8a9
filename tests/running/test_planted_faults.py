"""`kpbench data verify` on a real layout, each time with one fault more than its size."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from kpbench.api import Array
from kpbench.cli.main import main
from tests.protocols.trees.human36m import write

Plant = Callable[[Path], str]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound") / "human36m"
    write(root, n_train=24, n_test=12)
    return root


def frames(root: Path, kind: str, subject: str = "S*") -> list[Path]:
    return sorted(path for path in root.glob(f"{subject}/{kind}/Posing*/*") if path.is_file())


def relabelled(path: Path, change: Callable[[Array], Array]) -> None:
    savemat(path, {"keypoints_2d": change(loadmat(path)["keypoints_2d"])})


def no_mask(root: Path) -> str:
    path = frames(root, "BackgroudMask", "S5")[0]
    path.unlink()
    return f"{path.parent.name}/{path.name}"


def no_label(root: Path) -> str:
    path = frames(root, "Landmarks", "S6")[0]
    path.unlink()
    return f"{path.parent.name}/{path.stem}"


def half_an_image(root: Path) -> str:
    path = frames(root, "WithBackground", "S11")[0]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return f"{path.parent.name}/{path.name}"


def pixels_instead_of_shares(root: Path) -> str:
    path = frames(root, "Landmarks", "S1")[0]
    relabelled(path, lambda points: points * 128)
    return f"{path.parent.name}/{path.stem}"


def not_a_number(root: Path) -> str:
    path = frames(root, "Landmarks", "S1")[0]
    relabelled(path, lambda points: np.where(np.arange(32)[:, None] == 3, np.nan, points))
    return f"{path.parent.name}/{path.stem}"


def axes_swapped(root: Path) -> str:
    for path in root.rglob("*.mat"):
        relabelled(path, lambda points: points[:, ::-1])
    return ""


def a_test_image_of_training(root: Path) -> str:
    path = frames(root, "WithBackground", "S11")[0]
    shutil.copy(frames(root, "WithBackground", "S1")[0], path)
    return f"{path.parent.name}/{path.name}"


FAULTS: dict[str, tuple[Plant, str]] = {
    "missing mask": (no_mask, "missing files: 1"),
    "missing label": (no_label, "missing files: 1"),
    "corrupt image": (half_an_image, "images that cannot be read: 1"),
    "label out of range": (
        pixels_instead_of_shares,
        "with a landmark further than 1 image outside",
    ),
    "label not a number": (not_a_number, "with an unusable annotation: 1"),
    "swapped axes": (axes_swapped, "the axes look swapped"),
    "image of training in test": (a_test_image_of_training, "images of both: 1"),
}


def errors_of(root: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KPBENCH_DATA_HUMAN36M", str(root))
        capsys.readouterr()
        assert main(["data", "verify", "human36m_background", "--json"]) == 1
    [report] = json.loads(capsys.readouterr().out)
    return [found for found in report["findings"] if found["severity"] == "error"]


def test_a_small_tree_is_only_too_small(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [str(found["text"]) for found in errors_of(sound, capsys)]
    assert texts and all("published: " in text for text in texts)


@pytest.mark.parametrize("name", FAULTS)
def test_the_planted_fault_is_the_one_that_is_found(
    name: str, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant, words = FAULTS[name]
    root = Path(shutil.copytree(sound, tmp_path / "human36m"))
    where = plant(root)
    found = [error for error in errors_of(root, capsys) if "published: " not in str(error["text"])]
    assert found, "nothing was found"
    for error in found:
        assert words in str(error["text"]), error
    if where:
        assert any(where in example for error in found for example in _examples(error)), found


def _examples(error: dict[str, object]) -> list[str]:
    examples = error.get("examples")
    return [str(example) for example in examples] if isinstance(examples, list) else []
