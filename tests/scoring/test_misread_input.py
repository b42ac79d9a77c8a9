"""Input that is not what it claims to be: another unit, marks for places, copies, (y, x)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpbench.api import Array, Keypoints
from kpbench.cli.main import main
from kpbench.errors import ContractError, InvalidInputError, UndefinedScoreError, UnknownNameError
from kpbench.scoring.detection_files import load_detections
from kpbench.scoring.detections import Detections
from kpbench.scoring.evaluators import evaluate, score_alone
from kpbench.scoring.named import get_evaluator
from kpbench.scoring.scorefile import score_file, score_file_all
from tests.scoring.evaluator_toys import toy

GOLDEN = Path(__file__).parents[1] / "golden" / "evaluators.npz"
Arrays = dict[str, Array]


def golden(group: str) -> Arrays:
    with np.load(GOLDEN) as arrays:
        names = [name for name in arrays.files if name.startswith(f"{group}/")]
        return {name.partition("/")[2]: arrays[name] for name in names}


def save(folder: Path, content: Arrays) -> Path:
    np.savez(folder / "mine.npz", **content)  # type: ignore[arg-type]
    return folder / "mine.npz"


def in_unit(content: Arrays, kind: str, low: float, high: float) -> Arrays:
    return {k: v * (high - low) + low if kind in k else v for k, v in content.items()}


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-1.0, 1.0, r"got values from -.* % of x and .* they look like \[-1, 1\]"),
        (-0.5, 0.5, "outside of the image"),
        (0.0, 256.0, "divide pixels by the image size"),
        (0.0, 2.0, "divide them by what they are at the right and lower edge"),
    ],
)
@pytest.mark.parametrize("kind", ["keypoints", "landmarks"])
def test_another_unit_is_refused_and_converted_on_request(
    tmp_path: Path, low: float, high: float, words: str, kind: str
) -> None:
    right = score_file(save(tmp_path, golden("celeba")), "celeba/imm").value
    path = save(tmp_path, in_unit(golden("celeba"), kind, low, high))
    with pytest.raises(InvalidInputError, match=f"train: {kind} must be .*{words}") as caught:
        score_file(path, "celeba/imm")
    option = {"keypoints": " --range ", "landmarks": " --landmark-range "}[kind]
    assert option in str(caught.value)
    found = score_file(path, "celeba/imm", None, {kind: (low, high)})
    assert found.value == pytest.approx(right, rel=1e-5)
    every = {
        each.evaluator: each for each in score_file_all(path, "celeba", None, {kind: (low, high)})
    }
    assert getattr(every["celeba/imm"], "value", None) == found.value


def test_a_range_that_the_points_do_not_have_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, golden("celeba"))
    with pytest.raises(InvalidInputError, match=r"are from 0\..* leave out their range"):
        score_file(path, "celeba/imm", None, {"landmarks": (-1.0, 1.0)})


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 60), k=st.integers(1, 8), out=st.floats(0, 0.15), seed=st.integers(0, 9_999)
)
def test_points_a_little_outside_of_the_image_are_honest(
    n: int, k: int, out: float, seed: int
) -> None:
    points = np.random.default_rng(seed).uniform(-out, 1 + out, (n, k, 2))
    Detections(points, np.full((n, 3, 2), 0.4), np.ones((n, 3), bool))
    Keypoints(points).checked(n, k, "honest")


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(20, 60),
    k=st.integers(3, 8),
    size=st.floats(0.15, 1),
    seed=st.integers(0, 9_999),
)
def test_points_about_0_are_not(n: int, k: int, size: float, seed: int) -> None:
    points = np.random.default_rng(seed).uniform(-size, size, (n, k, 2))
    with pytest.raises(InvalidInputError, match="keypoints must be"):
        Detections(points, np.full((n, 3, 2), 0.4), np.ones((n, 3), bool))
    with pytest.raises(ContractError, match=r"tanh: keypoints must be .* look like \[-1, 1\]"):
        Keypoints(points).checked(n, k, "tanh")


MARKS = st.one_of(
    st.sampled_from([-1.0, -1 / 256, 0.0, 1.0, 0.5, -999.0, 9999.0, -1 / 128]),
    st.floats(-2, -0.01, allow_nan=False),
)


@settings(max_examples=60, deadline=None)
@given(mark=MARKS, share=st.floats(0.1, 0.6), seed=st.integers(0, 9_999))
def test_many_labels_at_one_point_are_refused_and_counted(
    mark: float, share: float, seed: int
) -> None:
    train, _ = toy("taichi/siarohin", seed=seed)
    seen = np.random.default_rng(seed).random(train.visible.shape) > share
    landmarks = np.where(seen[..., None], train.landmarks, mark)
    with pytest.raises(InvalidInputError) as caught:
        replace(train, landmarks=landmarks, visible=np.ones_like(seen))
    text = str(caught.value)
    assert f"{(~seen).sum()} landmarks, in {(~seen).any(1).sum()} of {len(seen)} images" in text
    assert f"({mark:.6g}, {mark:.6g})" in text and "train_visible" in text
    replace(train, landmarks=landmarks, visible=seen)


def test_a_few_marks_among_many_images_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kpbench.scoring.detections.ROWS", 64)
    landmarks = np.random.default_rng(0).uniform(0.1, 0.9, (1_000, 6, 2))
    landmarks[::8, 2] = -1
    with pytest.raises(InvalidInputError, match="125 landmarks, in 125 of 1000 images"):
        Detections(landmarks[:, :3] * 0 + 0.5, landmarks, np.ones((1_000, 6), bool))


def test_what_rests_or_is_one_joint_by_definition_is_no_mark() -> None:
    landmarks = np.random.default_rng(0).uniform(0.1, 0.9, (200, 6, 2))
    landmarks[:, 1] = (0.25, 0.75)  # a corner of the cage
    landmarks[:, 3] = landmarks[:, 4] = (0.5, 0.5)  # Human3.6M's pelvis, under two names
    landmarks[:2, 5] = (0, 0)  # twice at the corner
    landmarks[:, 0] = np.round(landmarks[:, 0] * 16) / 16
    Detections(landmarks[:, :3], landmarks, np.ones((200, 6), bool))


def test_pixels_are_not_taken_for_marks() -> None:
    landmarks = np.random.default_rng(0).integers(60, 70, (200, 6, 2)).astype(float)
    with pytest.raises(InvalidInputError, match="divide pixels"):
        Detections(landmarks / 256, landmarks, np.ones((200, 6), bool))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.astype(int) * 2, r"train_visible must .* of COCO's flags .* give flags > 0"),
        (lambda v: np.where(v, 1, np.nan), r"train_visible must .* NaN in \d+ places"),
        (lambda v: np.array(1), r"train_visible must be bool of shape \(500, 18\), got int64 \(\)"),
        (lambda v: v * 7, "got values from 0 to 7"),
    ],
)
def test_flags_that_are_not_true_or_false(tmp_path: Path, change: object, words: str) -> None:
    content = golden("taichi")
    assert callable(change)
    content["train_visible"] = change(content["train_visible"])
    with pytest.raises(InvalidInputError, match=words):
        score_file(save(tmp_path, content), "taichi/siarohin")


def test_labels_that_are_nan_name_what_to_give(tmp_path: Path) -> None:
    content = golden("taichi")
    seen = content.pop("train_visible")
    content["train_landmarks"][~seen] = np.nan
    with pytest.raises(InvalidInputError, match=r"landmarks are NaN .* train_visible"):
        score_file(save(tmp_path, content), "taichi/siarohin")


def test_copied_images_are_counted_and_a_copied_test_set_refused(tmp_path: Path) -> None:
    content = golden("taichi")
    assert score_file(save(tmp_path, content), "taichi/siarohin").notes == ()
    names = ("keypoints", "landmarks", "visible")
    mixed = content | {
        f"test_{n}": np.concatenate([content[f"test_{n}"], content[f"train_{n}"][5:12]])
        for n in names
    }
    found = score_file(save(tmp_path, mixed), "taichi/siarohin")
    assert found.notes == ("7 of 307 test images are training images",)
    same = content | {f"test_{n}": content[f"train_{n}"][::-1][:90] for n in names}
    with pytest.raises(InvalidInputError, match="all 90 test images are training images"):
        score_file(save(tmp_path, same), "taichi/siarohin")
    constant = {k: v * 0 + 0.5 if "keypoints" in k else v for k, v in mixed.items()}
    assert not any("training images" in n for n in score_file(
        save(tmp_path, constant), "taichi/siarohin").notes)  # fmt: skip


@pytest.mark.parametrize("missing", ["nan", "", "None"])
def test_an_activity_that_is_missing_is_none(missing: str) -> None:
    spec = get_evaluator("human36m/bkind")
    train, test = toy(spec.name)
    assert test.activities is not None
    activities = np.array(test.activities, dtype=object)
    activities[:4] = float("nan") if missing == "nan" else missing
    with pytest.raises(InvalidInputError, match="4 of 90 test images have none"):
        evaluate(spec, train, replace(test, activities=activities))


def test_y_x_in_test_alone_is_noted_with_what_is_left_of_the_error(tmp_path: Path) -> None:
    content = golden("taichi")
    right = score_file(save(tmp_path, content), "taichi/siarohin").value
    content["test_keypoints"] = content["test_keypoints"][..., ::-1]
    found = score_file(save(tmp_path, content), "taichi/siarohin")
    [note] = found.notes
    assert note.startswith("the test keypoints look like (y, x)")
    assert f"{100 * right / found.value:.0f} % of the error" in note


def test_y_x_in_both_parts_is_noted_though_no_score_tells() -> None:
    """As a method's `predict` that gives (y, x)."""
    spec = get_evaluator("cub/strict")
    rng = np.random.default_rng(0)
    parts = []
    for n in (200, 90):
        landmarks = rng.uniform(0.2, 0.8, (n, 1, 2)) + rng.uniform(-0.1, 0.1, (n, 15, 2))
        parts.append(Detections(landmarks[:, :4], landmarks, np.ones((n, 15), bool)))
    swapped = [replace(part, keypoints=part.keypoints[..., ::-1]) for part in parts]
    assert evaluate(spec, *parts).notes == ()
    assert score_alone(spec, *swapped) == pytest.approx(score_alone(spec, *parts))
    [note] = evaluate(spec, *swapped).notes
    assert note.startswith("the keypoints look like (y, x)")


def test_a_landmark_that_no_test_image_shows_is_named_not_its_columns() -> None:
    train, test = toy("taichi/siarohin")
    visible = test.visible.copy()
    visible[:, [4, 7]] = False
    with pytest.raises(UndefinedScoreError, match=r"landmarks 4, 7 \(counted from 0\) are visible"):
        evaluate(get_evaluator("taichi/siarohin"), train, replace(test, visible=visible))


def test_what_a_file_holds_is_listed(tmp_path: Path) -> None:
    content = {k.replace("keypoints", "kps"): v for k, v in golden("taichi").items()}
    with pytest.raises(InvalidInputError, match=r"train_keypoints missing.*holds: train_kps, "):
        score_file(save(tmp_path, content), "taichi/siarohin")
    for name, array in content.items():
        np.save(tmp_path / name, array)
    with pytest.raises(InvalidInputError, match=r"it holds: .*train_kps\.npy"):
        score_file(tmp_path, "taichi/siarohin")


def test_a_suggestion_is_made_once() -> None:
    error = UnknownNameError.of("evaluator", "taichi/siarohn", ["taichi/siarohin"] * 3)
    assert str(error).endswith("did you mean taichi/siarohin?")


def test_all_evaluators_by_the_name_of_the_data_set_with_or_without_prefix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path, golden("taichi"))
    outputs = []
    for file, choice in (
        (path, ["--group", "taichi"]),
        (path, ["--evaluator", "taichi/strict"]),
        (GOLDEN, ["--group", "taichi"]),
    ):
        assert main(["score", str(file), "--all-evaluators", *choice, "--json"]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] == outputs[2]


def test_the_command_converts_and_says_what_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(save(tmp_path, in_unit(golden("celeba"), "keypoints", -1, 1)))
    assert main(["score", path, "--evaluator", "celeba/imm", "--range", "-1,1", "--json"]) == 0
    capsys.readouterr()
    for text in ("1", "1,1", "1,-1", "nan,1", "0,inf", "a,b", ""):
        assert main(["score", path, "--evaluator", "celeba/imm", "--range", text]) == 2
        assert "write LOW,HIGH" in capsys.readouterr().err


def test_a_folder_has_no_groups(tmp_path: Path) -> None:
    for name, array in golden("taichi").items():
        np.save(tmp_path / name, array)
    assert len(load_detections(tmp_path)[0]) == 500
    with pytest.raises(InvalidInputError, match="has no group 'celeba'; leave out --group"):
        load_detections(tmp_path, "celeba")
