"""Shares of the diagnostics: by hand, against theory, and what would be a plausible mistake."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kpbench.api import Array, ImageSet, Keypoints, Labelled
from kpbench.diagnosis.camera_code import camera_code
from kpbench.diagnosis.coverage import joint_coverage
from kpbench.diagnosis.edges import edge_share
from kpbench.diagnosis.foreground import foreground_hits, object_share
from kpbench.diagnosis.shares import shares
from kpbench.errors import InvalidInputError
from kpbench.people.body.skeleton import JOINTS
from kpbench.registry import load_method, load_protocol
from kpbench.running.checks import check_data
from kpbench.running.measure import extremities, measure
from kpbench.testing import toy_labelled


def test_joints_are_covered_within_a_twentieth_of_the_image() -> None:
    points = np.array([[[0.5, 0.5], [0.2, 0.8]], [[0.1, 0.1], [0.9, 0.9]]])
    joints = np.array(
        [
            [[0.549, 0.5], [0.551, 0.5], [0.54, 0.54]],  # 4.9 and 5.1 %; 5.7 % along the diagonal
            [[0.1, 0.14], [0.9, 0.86], [0.14, 0.1]],
        ]
    )
    seen = np.ones((2, 3), bool)
    assert joint_coverage(points, joints, seen) == pytest.approx(4 / 6)
    seen[0, 1:] = False
    assert joint_coverage(points, joints, seen) == 1.0
    assert joint_coverage(points, joints, np.zeros((2, 3), bool)) is None


def test_each_image_is_covered_by_its_own_keypoints() -> None:
    points = np.array([[[0.1, 0.1]], [[0.9, 0.9]]])
    assert joint_coverage(points, points[::-1], np.ones((2, 1), bool)) == 0
    assert joint_coverage(points, points, np.ones((2, 1), bool)) == 1
    wrong_axes = np.array([[[0.2, 0.9]]])
    assert joint_coverage(wrong_axes, wrong_axes[..., ::-1], np.ones((1, 1), bool)) == 0


def test_coverage_of_uniform_points_is_the_area_of_their_discs() -> None:
    rng = np.random.default_rng(0)
    points, joints = rng.random((4000, 3, 2)), rng.uniform(0.1, 0.9, (4000, 2, 2))
    found = joint_coverage(points, joints, np.ones((4000, 2), bool))
    assert found == pytest.approx(1 - (1 - np.pi * 0.05**2) ** 3, abs=0.004)


def test_the_object_fills_what_random_points_hit() -> None:
    rng = np.random.default_rng(1)
    mask = np.zeros((40, 16, 24), bool)
    for shown, height in zip(mask[:30], rng.integers(2, 15, 30), strict=True):
        shown[:height, 3:9] = True
    share = object_share(mask)
    assert share == pytest.approx(np.mean([m.sum() / m.size for m in mask[:30]]))  # not of 40
    assert foreground_hits(rng.random((40, 500, 2)), mask) == pytest.approx(share, abs=0.01)
    assert object_share(None) is None and object_share(np.zeros((2, 4, 4), bool)) is None


def still(n: int, k: int, spread: float, seed: int = 2) -> Array:
    """Return keypoints that are those of one of four cameras, but for noise."""
    rng = np.random.default_rng(seed)
    cameras = rng.uniform(0.1, 0.9, (4, k, 2))
    return np.asarray(cameras[rng.integers(0, 4, n)] + rng.normal(0, spread, (n, k, 2)))


def test_four_cameras_are_a_code() -> None:
    found = camera_code(still(300, 16, 0.01))
    assert found["camera_code"] > 0.99
    # four places in 32 dimensions span three
    assert found["camera_code_1"] < 0.9 and found["camera_code_3"] > 0.99
    assert camera_code(still(300, 16, 0.0))["camera_code"] == 1.0


def test_a_place_in_the_image_does_not_change_the_code() -> None:
    """Shares are of the variance about the mean, not of the distance from the corner."""
    points = still(200, 5, 0.1)
    assert camera_code(points + 7) == pytest.approx(camera_code(points))
    assert camera_code(points * 3) == pytest.approx(camera_code(points))


def test_independent_keypoints_are_no_code() -> None:
    """Four clusters of a Gaussian lie on a tetrahedron: E[max of 4]^2 x 4 / 3 of one direction."""
    dimensions, n = 12, 20_000
    points = np.random.default_rng(3).normal(0.5, 0.1, (n, dimensions // 2, 2))
    found = camera_code(points)
    # the largest of four normal variables is 1.02938 on average; three clusters would explain 24 %
    # less and five 20 % more
    assert found["camera_code"] == pytest.approx(1.02938**2 * 4 / 3 / dimensions, rel=0.06)
    assert found["camera_code_1"] == pytest.approx(1 / dimensions, rel=0.06)
    assert found["camera_code_3"] == pytest.approx(3 / dimensions, rel=0.06)


def test_a_body_that_moves_as_one_is_two_directions() -> None:
    rng = np.random.default_rng(4)
    place = rng.normal(0, [0.2, 0.1], (5000, 2))
    found = camera_code(rng.random((1, 8, 2)) + place[:, None])
    assert found["camera_code_1"] == pytest.approx(0.8, abs=0.02)  # 0.2^2 of 0.2^2 + 0.1^2
    assert found["camera_code_3"] == pytest.approx(1.0)
    assert found["camera_code"] < 0.85


def test_the_best_of_several_starts_counts_and_is_the_same_again() -> None:
    """Two far pairs of near clusters: a single start may put three centres on one pair."""
    rng = np.random.default_rng(5)
    centres = np.array([[0, 0], [0, 0.1], [1, 0], [1, 0.1], [1, 0.2]])
    points = (centres[rng.integers(0, 5, 400)] + rng.normal(0, 0.01, (400, 2)))[:, None]
    found = camera_code(points)
    assert found == camera_code(points)
    shuffled = camera_code(points[rng.permutation(400)])
    assert shuffled == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize("shape", [(300, 16), (4, 16), (1, 1)])
def test_keypoints_that_stand_still_have_no_code(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(6)
    constant = np.tile(rng.random((1, shape[1], 2)), (shape[0], 1, 1))
    assert camera_code(constant) == {}
    assert camera_code((constant + rng.normal(0, 1e-8, constant.shape)).astype(np.float32)) == {}
    if shape[0] <= 4:  # four clusters explain four images whatever they show
        assert camera_code(rng.random((*shape, 2))) == {}


def graph(k: int, edges: dict[tuple[int, int], float], rest: float = 0.01) -> Keypoints:
    weights = np.full((k, k), rest)
    for (a, b), weight in edges.items():
        weights[a, b] = weights[b, a] = weight
    return Keypoints(np.zeros((1, k, 2)), graph=weights)


def test_keypoints_at_strong_edges() -> None:
    edges = {(0, 1): 1.0, (1, 2): 0.6, (3, 4): 0.49, (2, 5): 0.51}
    assert edge_share(graph(8, edges)) == pytest.approx(4 / 8)  # 0, 1, 2, 5: each once
    weights = np.array(graph(8, edges).graph)
    np.fill_diagonal(weights, 9.0)  # no edge
    assert edge_share(Keypoints(np.zeros((1, 8, 2)), graph=weights)) == pytest.approx(4 / 8)


def test_edges_that_are_all_alike_are_not_strong() -> None:
    """AutoLink's untrained edges: softplus(-4 + a tenth of a normal variable)."""
    rng = np.random.default_rng(7)
    weights = np.log1p(np.exp(rng.normal(-4, 0.1, (16, 16))))
    untrained = Keypoints(np.zeros((1, 16, 2)), graph=(weights + weights.T) / 2)
    assert edge_share(untrained) is None
    assert edge_share(graph(5, {})) is None and edge_share(graph(5, {}, rest=0.0)) is None
    assert edge_share(graph(2, {(0, 1): 1.0})) is None  # the only edge
    assert edge_share(graph(4, {(0, 1): 1.0, (1, 2): 1.0, (2, 3): 1.0})) == 1.0  # a tree
    assert edge_share(Keypoints(np.zeros((1, 4, 2)))) is None


def test_the_shares_of_a_toy_by_name() -> None:
    labelled = toy_labelled(30)
    points = np.array(labelled.landmarks)
    points[:, 0] -= 0.2  # the first keypoint misses its joint
    found = shares(Keypoints(points, graph=graph(4, {(0, 1): 1.0}).graph), labelled, [0, 2])
    assert set(found) == {
        *("joint_coverage", "extremity_coverage", "object_share", "edge_share"),
        *("camera_code", "camera_code_1", "camera_code_3"),
    }
    assert (found["joint_coverage"], found["extremity_coverage"]) == (0.75, 0.5)
    assert found["object_share"] == pytest.approx(np.pi / 16, rel=0.05)
    assert found["edge_share"] == 0.5
    assert found["camera_code_3"] == pytest.approx(1)


def test_what_is_undefined_is_left_out() -> None:
    labelled = toy_labelled(30)
    bare = replace(labelled, images=ImageSet(labelled.images.images))
    found = shares(Keypoints(np.full((30, 4, 2), 0.5)), bare, [])
    assert found == {"joint_coverage": 0.0}
    unseen = Labelled(bare.images, bare.landmarks * 0, np.zeros((30, 4), bool))
    assert shares(Keypoints(np.full((30, 4, 2), 0.5)), unseen, [1]) == {}


@pytest.mark.parametrize("name", ["people_background", "people_fashion", "people_taichi"])
def test_extremities_of_people_are_hands_feet_and_head(name: str) -> None:
    protocol = load_protocol(name)
    found = {protocol.landmarks[place] for place in extremities(protocol)}
    head = "head_top" if protocol.landmarks == JOINTS else "nose"
    assert found == {head, "l_wrist", "r_wrist", "l_ankle", "r_ankle"}


@pytest.mark.parametrize("name", ["human36m", "human36m_unaligned", "deepfashion", "taichi"])
def test_extremities_of_real_bodies(name: str) -> None:
    assert len(extremities(load_protocol(name))) == 5
    assert extremities(load_protocol("celeba_wild")) == []


def test_a_protocol_of_others_names_its_own_extremities(toy_discs: str) -> None:
    protocol, oracle = load_protocol(toy_discs), load_method("oracle")
    splits = protocol.splits("smoke")
    assert "extremity_coverage" not in (measure(oracle, protocol, splits).diagnostics or {})
    protocol.extremities = ("left", "top")  # type: ignore[attr-defined]
    assert extremities(protocol) == [3, 0]
    found = measure(oracle, protocol, splits).diagnostics
    assert found is not None and found["extremity_coverage"] == 1.0
    protocol.extremities = ("Left",)  # type: ignore[attr-defined]
    words = r"toy_discs: its extremities \['Left'\] are not among its landmarks \(top, right"
    with pytest.raises(InvalidInputError, match=words):
        measure(oracle, protocol, splits)
    with pytest.raises(AssertionError, match=words):
        check_data(protocol, splits, ())
