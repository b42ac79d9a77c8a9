"""The types at the border refuse what would later give a wrong number."""

from __future__ import annotations

import numpy as np
import pytest

from kpbench.api import ImageSet, Keypoints, Labelled
from kpbench.errors import ContractError, InvalidInputError


def images(n: int = 3) -> np.ndarray:
    return np.zeros((n, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 8, 8), np.uint8), "grey or 16-bit"),
        (np.zeros((3, 8, 8, 1), np.uint8), "grey or 16-bit"),
        (np.zeros((3, 8, 8, 3), np.uint16), "uint16"),
        (np.zeros((3, 8, 8, 3), np.float32), "float32"),
        (np.zeros((0, 8, 8, 3), np.uint8), "at least one image"),
    ],
)
def test_unusable_images_are_refused_in_words(array: np.ndarray, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        ImageSet(array)


def test_signals_must_match_the_images() -> None:
    with pytest.raises(InvalidInputError, match="depth must be uint16"):
        ImageSet(images(), depth=np.zeros((3, 8, 8), np.float32))
    with pytest.raises(InvalidInputError, match="mask must be bool"):
        ImageSet(images(), mask=np.zeros((2, 8, 8), bool))


def test_a_method_cannot_write_into_what_others_will_read() -> None:
    data = images()
    held = ImageSet(data, mask=np.zeros((3, 8, 8), bool))
    for array in (held.images, held.mask, held[:2].images):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1  # type: ignore[index]
    data[0] = 7  # the caller's own array stays his


def test_restricted_drops_what_was_not_declared() -> None:
    held = ImageSet(images(), depth=np.ones((3, 8, 8), np.uint16), mask=np.ones((3, 8, 8), bool))
    assert held.restricted(["depth"]).signals == ("depth",)
    assert held.restricted([]).signals == ()
    with pytest.raises(InvalidInputError, match="has no frames; it has: depth, mask"):
        held.restricted(["frames"])


def test_an_image_set_has_no_label_field() -> None:
    fields = set(ImageSet.__dataclass_fields__)
    assert fields == {"images", "depth", "mask", "frames"}


def test_labels_must_be_finite_and_of_the_right_shape() -> None:
    seen = np.ones((3, 2), bool)
    with pytest.raises(InvalidInputError, match="NaN"):
        Labelled(ImageSet(images()), np.full((3, 2, 2), np.nan), seen)
    with pytest.raises(InvalidInputError, match="shape"):
        Labelled(ImageSet(images()), np.zeros((2, 2, 2)), seen)
    with pytest.raises(InvalidInputError, match="visible"):
        Labelled(ImageSet(images()), np.zeros((3, 2, 2)), seen[:, :1])
    with pytest.raises(InvalidInputError, match="2 landmarks need as many names, got 1"):
        Labelled(ImageSet(images()), np.zeros((3, 2, 2)), seen, names=["nose"])


def test_names_of_landmarks_are_those_of_a_subset_too() -> None:
    seen = np.ones((3, 2), bool)
    held = Labelled(ImageSet(images()), np.zeros((3, 2, 2)), seen, names=["nose", "tail"])
    assert held[:1].names == ["nose", "tail"]


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (np.zeros((3, 5, 2)), r"\(3, 5, 2\), not \(3, 4, 2\)"),
        (np.zeros((2, 4, 2)), r"\(2, 4, 2\), not \(3, 4, 2\)"),
        (np.full((3, 4, 2), np.nan), "not finite in 3 of 3"),
        (np.zeros((3, 4, 2), np.int64), "finite floats"),
        (np.full((3, 4, 2), 57.0), "divide pixels"),
    ],
)
def test_broken_predictions_are_refused(points: np.ndarray, words: str) -> None:
    with pytest.raises(ContractError, match=words):
        Keypoints(points).checked(3, 4, "mine")


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (np.ones((3, 3)), r"of shape \(4, 4\), .* got float64 \(3, 3\)"),
        (np.ones(6), r"got float64 \(6,\)"),
        (np.full((4, 4), np.nan), "finite floats"),
        (np.ones((4, 4), bool), "got bool"),
    ],
)
def test_a_broken_graph_is_refused(graph: np.ndarray, words: str) -> None:
    points = np.zeros((3, 4, 2))
    assert Keypoints(points, graph=np.ones((4, 4))).checked(3, 4, "mine")
    with pytest.raises(ContractError, match=f"mine: the graph must .*{words}"):
        Keypoints(points, graph=graph).checked(3, 4, "mine")


def test_a_keypoint_may_lie_outside_of_the_image() -> None:
    assert Keypoints(np.full((3, 4, 2), 1.4)).checked(3, 4, "mine")


@pytest.mark.parametrize("confidence", [
    np.full((3, 5), 0.5), np.full((3, 4), 1.01), np.full((3, 4), -0.01), np.full((3, 4), np.nan),
])  # fmt: skip
def test_a_broken_confidence_is_refused(confidence: np.ndarray) -> None:
    points = np.full((3, 4, 2), 0.5)
    for sound in (np.zeros((3, 4)), np.ones((3, 4), np.float32)):
        assert Keypoints(points, sound).checked(3, 4, "mine")
    with pytest.raises(ContractError, match=r"mine: the confidence must be in \[0, 1\]"):
        Keypoints(points, confidence).checked(3, 4, "mine")
