"""Scoring an .npz made elsewhere: what is read, and everything that is refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kpbench.api import Array
from kpbench.errors import InvalidInputError, KpbenchError, UnknownNameError
from kpbench.scoring.detection_files import load_detections
from kpbench.scoring.evaluators import Evaluation
from kpbench.scoring.named import disagreement_evaluators
from kpbench.scoring.scorefile import as_json, score_file, score_file_all
from tests.conftest import Install

Arrays = dict[str, Array]


def arrays(prefix: str = "", n_landmarks: int = 5, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    found: Arrays = {}
    for split, n in (("train", 60), ("test", 30)):
        landmarks = rng.uniform(0.2, 0.8, (n, n_landmarks, 2))
        found[f"{prefix}{split}_landmarks"] = landmarks
        noise = rng.normal(0, 0.02, (n, 4, 2))
        found[f"{prefix}{split}_keypoints"] = landmarks[:, :4] + noise
        found[f"{prefix}{split}_visible"] = np.ones((n, n_landmarks), bool)
    return found


def save(folder: Path, content: Arrays) -> Path:
    path = folder / "mine.npz"
    np.savez(path, **content)  # type: ignore[arg-type]
    return path


def test_with_and_without_prefix_and_visible_the_score_is_the_same(tmp_path: Path) -> None:
    plain = arrays()
    expected = score_file(save(tmp_path, plain), "celeba/strict").value
    prefixed = {f"celeba/{key}": value for key, value in plain.items()}
    assert score_file(save(tmp_path, prefixed), "celeba/strict").value == expected
    mine = {f"run7/{key}": value for key, value in plain.items()}
    assert score_file(save(tmp_path, mine), "celeba/strict").value == expected
    assert score_file(save(tmp_path, mine), "celeba/strict", "run7").value == expected
    short = {key: value for key, value in plain.items() if not key.endswith("visible")}
    assert score_file(save(tmp_path, short), "celeba/strict").value == expected
    ones = {key: v.astype(np.uint8) if v.dtype == bool else v for key, v in plain.items()}
    assert score_file(save(tmp_path, ones), "celeba/strict").value == expected


def test_the_group_named_as_the_evaluators_data_set_is_taken(tmp_path: Path) -> None:
    path = save(tmp_path, arrays("celeba/") | arrays("cub/", seed=1))
    celeba, cub = score_file(path, "celeba/strict"), score_file(path, "cub/strict")
    assert celeba.n_images == cub.n_images == 30
    assert not np.array_equal(celeba.predicted, cub.predicted)
    assert score_file(path, "celeba/strict", "cub").value != celeba.value
    with pytest.raises(InvalidInputError, match="groups celeba, cub; choose one with --group"):
        score_file(path, "taichi/strict")
    with pytest.raises(InvalidInputError, match="there is none called 'birds'"):
        score_file(path, "cub/strict", "birds")
    with pytest.raises(InvalidInputError, match="choose one with --group"):
        load_detections(path)
    train, test = load_detections(path, "cub")
    assert (len(train), len(test)) == (60, 30)


def test_arrays_of_another_data_set_are_not_scored_by_accident(tmp_path: Path) -> None:
    path = save(tmp_path, arrays("celeba/"))
    with pytest.raises(InvalidInputError, match="holds celeba, not cub"):
        score_file(path, "cub/strict")
    assert score_file(path, "cub/strict", "celeba").value > 0


def test_activities_are_read(tmp_path: Path) -> None:
    content = arrays(n_landmarks=32)
    notes = score_file(save(tmp_path, content), "human36m/bkind").notes
    assert "no activities given" in notes[0]
    content["test_activities"] = np.array(["Walking", "Posing"])[np.arange(30) % 2]
    found = score_file(save(tmp_path, content), "human36m/bkind")
    assert found.notes == ()
    assert found.groups is not None and set(found.groups) == {"Walking", "Posing"}
    assert as_json(found)["activity_values"] == found.group_values
    assert np.mean(list(found.group_values.values())) == pytest.approx(found.value)


def test_json_holds_what_is_promised_and_no_nan(tmp_path: Path) -> None:
    content = arrays(n_landmarks=15)
    content["test_visible"][:, 3] = False
    content["test_landmarks"][:, 3] = 0
    row = json.loads(json.dumps(as_json(score_file(save(tmp_path, content), "cub/strict"))))
    assert {"evaluator", "metric", "value", "unit", "ci95"} <= set(row)
    assert (row["evaluator"], row["unit"], row["n"]) == ("cub/strict", "%", 30)
    assert row["ci95"][0] <= row["value"] <= row["ci95"][1]
    assert (row["rank"], row["n_features"], row["oracle_used"]) == (9, 9, False)
    assert row["landmark_values"][3] is None
    json.dumps(row, allow_nan=False)


def test_all_evaluators_of_a_data_set_and_those_that_cannot(tmp_path: Path) -> None:
    found = score_file_all(save(tmp_path, arrays(n_landmarks=17)), "human36m")
    kinds = {e.evaluator: type(e) for e in found}
    assert list(kinds) == [spec.name for spec in disagreement_evaluators("human36m")]
    assert {name for name, kind in kinds.items() if kind is Evaluation} == {"human36m/strict"}
    rows = [as_json(e) for e in found]
    assert "is defined on 32 landmarks, got 17" in rows[0]["error"]
    assert "error" not in rows[-1]
    with pytest.raises(UnknownNameError, match="data set"):
        score_file_all(tmp_path / "mine.npz", "human")


def test_boxes_and_aspect_are_read(tmp_path: Path) -> None:
    content = arrays(n_landmarks=15)
    with pytest.raises(InvalidInputError, match="cub/huang needs the boxes of the images"):
        score_file(save(tmp_path, content), "cub/huang")
    for split, n in (("train", 60), ("test", 30)):
        content[f"{split}_boxes"] = np.tile([0.1, 0.2, 0.5, 0.25], (n, 1))
        content[f"{split}_aspect"] = np.full(n, 2.0)
    path = save(tmp_path, content)
    _, test = load_detections(path)
    # one box for all: the same fit, in another unit; errors twice in x, four times in y
    gap = (score_file(path, "cub/scops").predicted - test.landmarks) / (0.5, 0.25)
    expected = 100 * np.linalg.norm(gap, axis=-1).mean()
    assert score_file(path, "cub/huang").value == pytest.approx(expected, rel=1e-9)
    faces = {k: v[:, :5] if "landmarks" in k or "visible" in k else v for k, v in content.items()}
    path = save(tmp_path, faces)
    wide = np.array([2.0, 1.0])
    gap = (score_file(path, "celeba/scops").predicted - test.landmarks[:, :5]) * wide
    eyes = np.linalg.norm((test.landmarks[:, 0] - test.landmarks[:, 1]) * wide, axis=-1)
    expected = 100 * (np.linalg.norm(gap, axis=-1) / eyes[:, None]).mean()
    assert score_file(path, "celeba/dve").value == pytest.approx(expected, rel=1e-9)


def save_folder(folder: Path, content: Arrays) -> Path:
    folder.mkdir(exist_ok=True)
    for name, array in content.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def test_a_folder_of_npy_files_scores_as_the_npz(tmp_path: Path) -> None:
    content = arrays(n_landmarks=32)
    content["test_activities"] = np.array(["Walking", "Posing"])[np.arange(30) % 2]
    expected = score_file(save(tmp_path, content), "human36m/bkind")
    folder = save_folder(tmp_path / "arrays", content)
    found = score_file(folder, "human36m/bkind")
    assert found.value == pytest.approx(expected.value, rel=1e-12)
    assert found.group_values == pytest.approx(expected.group_values)
    (folder / "train_visible.npy").unlink()
    np.save(folder / "test_visible.npy", np.ones((30, 32), np.uint8))
    assert score_file(folder, "human36m/bkind").value == found.value
    train, _ = load_detections(folder)
    assert isinstance(train.keypoints.base, np.memmap) and not train.keypoints.flags.writeable


def test_folders_that_cannot_be_scored_are_refused(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "arrays", arrays())
    np.save(folder / "train_keypoints.npy", np.ones((60, 4, 2), object), allow_pickle=True)
    with pytest.raises(InvalidInputError, match=r"train_keypoints\.npy cannot be read"):
        score_file(folder, "celeba/strict")
    good = (folder / "train_landmarks.npy").read_bytes()
    np.save(folder / "train_keypoints.npy", np.full((60, 4, 2), 0.5))
    for data in (b"", b"PK", good[:50], good[:-30]):
        (folder / "train_landmarks.npy").write_bytes(data)
        with pytest.raises(InvalidInputError, match=r"train_landmarks\.npy cannot be read"):
            score_file(folder, "celeba/strict")
    np.savez(folder / "train_landmarks", points=np.ones(3))
    (folder / "train_landmarks.npz").rename(folder / "train_landmarks.npy")
    with pytest.raises(InvalidInputError, match=r"train_landmarks\.npy cannot be read"):
        score_file(folder, "celeba/strict")
    (folder / "train_landmarks.npy").unlink()
    with pytest.raises(InvalidInputError, match="train_landmarks missing"):
        score_file(folder, "celeba/strict")
    for split in ("train", "test"):
        same = {f"{split}_{key[5:]}": v for key, v in arrays().items() if key.startswith("test")}
        save_folder(folder, same)
    with pytest.raises(InvalidInputError, match="train and test hold the same arrays"):
        score_file(folder, "celeba/strict")


@pytest.mark.usefixtures("toy_discs")
def test_evaluators_of_installed_protocols_are_known(tmp_path: Path) -> None:
    path = save(tmp_path, arrays(n_landmarks=4))
    assert score_file(path, "toy_discs/strict").evaluator == "toy_discs/strict"
    assert [f.evaluator for f in score_file_all(path, "toy_discs")] == ["toy_discs/strict"]
    with pytest.raises(UnknownNameError, match="did you mean toy_discs/strict"):
        score_file(path, "toy_discs/stric")
    with pytest.raises(UnknownNameError, match="did you mean toy_discs"):
        score_file_all(path, "toy_disc")


def test_a_protocol_that_cannot_be_loaded_is_named(tmp_path: Path, install: Install) -> None:
    install("protocols", {"torn": '"""Torn."""\nraise RuntimeError("torn")\n'})
    with pytest.raises(UnknownNameError, match=r"mine/x.*protocols cannot be loaded: torn"):
        score_file(tmp_path / "nothing.npz", "mine/x")


def test_protocols_are_not_imported_for_kpbenchs_own_evaluators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kpbench.scoring.named.load_protocol", lambda name: pytest.fail("asked"))
    path = save(tmp_path, arrays())
    assert score_file(path, "celeba/strict").value > 0
    assert len(score_file_all(path, "celeba")) == len(disagreement_evaluators("celeba"))


def test_unknown_evaluator_is_told_before_the_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean cub/strict"):
        score_file(tmp_path / "nothing.npz", "cub/strit")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"test_keypoints": None}, "test_keypoints missing"),
        ({"train_keypoints": None, "train_landmarks": None}, "train_keypoints, train_landmarks mi"),
        ({"test_keypoints": np.full((30, 4, 2), np.nan)}, "test: keypoints are NaN .* in 30 of 30"),
        (
            {"test_keypoints": np.full((30, 4, 2), 100.0)},
            "test: .* divide pixels by the image size",
        ),
        ({"train_landmarks": np.full((60, 5, 2), 200)}, "train: .* divide pixels"),
        ({"test_keypoints": np.full((30, 5, 2), 0.5)}, "train has 4 keypoints .* but test 5"),
        (
            {"test_keypoints": np.full((29, 4, 2), 0.5)},
            "keypoints of 29 images but landmarks of 30",
        ),
        ({"test_keypoints": np.full((30, 8), 0.5)}, r"keypoints must have shape \(N, points, 2\)"),
        ({"test_landmarks": np.full(30, 0.5)}, "test: "),
        ({"test_visible": np.full((30, 5), 2)}, "test_visible must hold true/false or 0/1"),
        ({"test_visible": np.full((30, 5), "yes")}, "test_visible must hold true/false or 0/1"),
        ({"test_visible": np.ones((30, 4), bool)}, "visible must be bool of shape"),
        ({"test_visible": np.zeros((30, 5), bool)}, "no rule for missing labels"),
        ({"test_activities": np.array(["a"])}, "activities must have shape"),
        ({"test_boxes": np.full((30, 2), 0.5)}, r"boxes must have shape \(30, 4\)"),
        ({"test_boxes": np.zeros((30, 4))}, "boxes are not above 0 in 30 of 30 images"),
        ({"test_boxes": np.full((30, 4), 40.0)}, "boxes .* divide pixels by the image size"),
        ({"test_aspect": np.full(30, -1.0)}, "aspect are not above 0 in 30 of 30 images"),
        ({"test_aspect": np.full(30, np.inf)}, "aspect are NaN or infinite in 30 of 30 images"),
        ({"test_aspect": np.full(30, "wide")}, "aspect must be floats, got <U4"),
        ({"train_keypoints": np.ones((60, 4, 2), object)}, "no object arrays"),
        ({"train_keypoints": np.full((60, 4, 2), 1j)}, "floats, got complex"),
    ],
)
def test_bad_arrays_are_refused(
    tmp_path: Path, change: dict[str, Array | None], words: str
) -> None:
    content = {k: v for k, v in (arrays() | change).items() if v is not None}
    with pytest.raises(InvalidInputError, match=words):
        score_file(save(tmp_path, content), "celeba/strict")


def test_equal_train_and_test_are_refused(tmp_path: Path) -> None:
    content = arrays()
    for key in ("keypoints", "landmarks", "visible"):
        content[f"test_{key}"] = content[f"train_{key}"]
    with pytest.raises(InvalidInputError, match="train and test hold the same arrays"):
        score_file(save(tmp_path, content), "celeba/strict")


def test_files_that_are_no_npz_are_refused(tmp_path: Path) -> None:
    good = save(tmp_path, arrays()).read_bytes()
    path = tmp_path / "bad.npz"
    with pytest.raises(InvalidInputError, match="there is no file"):
        score_file(path, "celeba/strict")
    with pytest.raises(InvalidInputError, match=r"holds none of train_keypoints\.npy"):
        score_file(tmp_path, "celeba/strict")
    for data in (b"", b"PK", b"{}", good[: len(good) // 2], good[:-30]):
        path.write_bytes(data)
        with pytest.raises(InvalidInputError, match=r"cannot be read as an \.npz"):
            score_file(path, "celeba/strict")
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(InvalidInputError, match="cannot be read as an"):
        score_file(tmp_path / "one.npy", "celeba/strict")
    with zipfile.ZipFile(path, "w") as archive:
        for key in arrays():
            archive.writestr(f"{key}.npy", "0.5, 0.5")
    with pytest.raises(InvalidInputError, match=r"_\w+ is no array"):
        score_file(path, "celeba/strict")
    with pytest.raises(InvalidInputError, match="it holds: points"):
        score_file(save(tmp_path, {"points": np.ones(3)}), "celeba/strict")


def test_no_damage_to_a_file_gives_a_bare_error_or_another_number(tmp_path: Path) -> None:
    path = save(tmp_path, arrays())
    good = path.read_bytes()
    expected = score_file(path, "celeba/strict").value
    rng = np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(good)
        for place in rng.integers(0, len(data), 4):
            data[place] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            assert score_file(path, "celeba/strict").value == expected
        except KpbenchError:
            pass
