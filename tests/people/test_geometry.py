"""Rotations, poses, body model and camera of the rendered people against independent formulas."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from kpbench.people.body.assets import load_body
from kpbench.people.body.motion import Motion, motion
from kpbench.people.body.pose import bone_rotations
from kpbench.people.body.rotations import (
    fraction,
    from_quaternion,
    from_rotation_vector,
    orthonormal_frame,
    to_rotation_vector,
)
from kpbench.people.body.shape import BodyModel, RestBody
from kpbench.people.body.skeleton import (
    COCO_17,
    EDGES,
    HUMAN36M_17,
    JOINTS,
    OPENPOSE_18,
    joint_indices,
    swap_permutation,
)
from kpbench.people.protocol import PeopleProtocol
from kpbench.people.scene.camera import Camera, axes_looking_along, framing_camera
from kpbench.people.scene.sampler import sample_scene
from kpbench.people.scene.stage import set_stage
from kpbench.registry import load_protocol

CPU = torch.device("cpu")
finite = st.floats(-1.7, 1.7)


@pytest.fixture(scope="module")
def model() -> BodyModel:
    return BodyModel(CPU)


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4).filter(lambda q: np.dot(q, q) > 1e-3))
@settings(max_examples=50, deadline=None)
def test_quaternions_as_scipy(wxyz: list[float]) -> None:
    q = np.array(wxyz)
    expected = Rotation.from_quat(np.roll(q, -1)).as_matrix()
    np.testing.assert_allclose(from_quaternion(q), expected, atol=1e-12)


@given(st.tuples(finite, finite, finite))
@settings(max_examples=50, deadline=None)
def test_rotation_vectors_as_scipy(vector: tuple[float, float, float]) -> None:
    v = np.array(vector)
    matrix = from_rotation_vector(v)
    np.testing.assert_allclose(matrix, Rotation.from_rotvec(v).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(to_rotation_vector(matrix), v, atol=1e-6)
    half = fraction(matrix, 0.5)
    np.testing.assert_allclose(half @ half, matrix, atol=1e-6)


def test_orthonormal_frame_is_a_rotation_with_the_first_axis_kept() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 5, 3))
    frame = orthonormal_frame(a, b)
    np.testing.assert_allclose(np.linalg.det(frame), 1)
    np.testing.assert_allclose(
        frame @ np.swapaxes(frame, -1, -2), np.tile(np.eye(3), (5, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(frame[..., 0], a / np.linalg.norm(a, axis=-1, keepdims=True))
    assert ((frame[..., 1] * b).sum(-1) > 0).all()


@pytest.mark.parametrize("names", [JOINTS, HUMAN36M_17, COCO_17, OPENPOSE_18])
def test_swapping_left_and_right_twice_changes_nothing(names: tuple[str, ...]) -> None:
    swap = np.array(swap_permutation(names))
    assert sorted(swap) == list(range(len(names)))
    assert (swap[swap] == np.arange(len(names))).all()
    sided = sum(name[1] == "_" for name in names)
    assert (swap != np.arange(len(names))).sum() == sided
    assert len(joint_indices(names)) == len(set(names)) == len(names)


def test_edges_form_one_tree_over_the_first_17_joints() -> None:
    reached = {0}
    for a, b in EDGES:
        assert a in reached and b not in reached
        reached.add(b)
    assert reached == set(range(17)) and JOINTS[:17] == HUMAN36M_17 and len(JOINTS) == 32


def pose_of(found: Motion, model: BodyModel, twist: list[float]) -> tuple[torch.Tensor, RestBody]:
    """Return the bone rotations of the first frame on the mean body."""
    rest = model.shape(torch.zeros(1, 10))
    rotations = bone_rotations(
        {name: value[:1] for name, value in found.local.items()},
        rest.heads.numpy(),
        np.array([twist]),
        bones=model.data.bones,
        parents=model.data.parents.tolist(),
    )
    return torch.as_tensor(rotations), rest


def test_bone_rotations_are_rotations(model: BodyModel) -> None:
    rotations = pose_of(motion("dance_a", False), model, [0.2, -0.1])[0].numpy()
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-9)
    np.testing.assert_allclose(
        rotations @ np.swapaxes(rotations, -1, -2),
        np.broadcast_to(np.eye(3), rotations.shape),
        atol=1e-9,
    )


def test_skinning_as_a_plain_loop(model: BodyModel) -> None:
    data = load_body()
    rng = np.random.default_rng(0)
    coefficients = rng.normal(size=10)
    rest = model.shape(torch.as_tensor(coefficients)[None])
    rotations = Rotation.random(len(data.bones), rng=rng).as_matrix()
    posed = model.pose(rest, torch.as_tensor(rotations)[None])
    rows = data.mean.astype(float)
    for weight, component in zip(coefficients, data.components, strict=True):
        rows = rows + weight * component
    v, p = data.n_vertices, len(data.points)
    heads = rows[v + p :]
    moved = [np.zeros(3)]
    for bone, parent in enumerate(data.parents[1:].tolist(), start=1):
        moved.append(moved[parent] + rotations[parent] @ (heads[bone] - heads[parent]))
    for vertex in rng.integers(0, v, 60).tolist():
        expected = np.zeros(3)
        for bone in np.flatnonzero(data.skin[vertex]).tolist():
            turned = rotations[bone] @ (rows[vertex] - heads[bone]) + moved[bone]
            expected += data.skin[vertex, bone] * turned
        np.testing.assert_allclose(posed.surface[0, vertex], expected, atol=1e-5)
    wrist = data.bones.index("wrist.L")
    np.testing.assert_allclose(posed.joints[0, JOINTS.index("l_wrist")], moved[wrist], atol=1e-5)


def test_no_rotation_gives_the_rest_body_around_its_root(model: BodyModel) -> None:
    rest = model.shape(torch.zeros(1, 10))
    still = torch.eye(3).expand(1, len(model.data.bones), 3, 3)
    posed = model.pose(rest, still)
    torch.testing.assert_close(
        posed.surface, (rest.surface - rest.heads[:, :1]).float(), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("clip", ["dance_b", "kick", "crawl"])
def test_a_mirrored_motion_gives_mirrored_joints(model: BodyModel, clip: str) -> None:
    as_recorded, rest = pose_of(motion(clip, False), model, [0.3, -0.2])
    mirrored, _ = pose_of(motion(clip, True), model, [0.2, -0.3])
    joints = model.pose(rest, as_recorded).joints[0].numpy()
    other = model.pose(rest, mirrored).joints[0].numpy()
    expected = joints[swap_permutation(JOINTS)] * [-1, 1, 1]
    # the baked mean body is symmetric to 2 mm
    np.testing.assert_allclose(other, expected, atol=0.006)
    assert np.abs(other - joints).max() > 0.05


def test_joints_lie_where_the_names_say(model: BodyModel) -> None:
    rest = model.shape(torch.zeros(1, 10))
    still = torch.eye(3).expand(1, len(model.data.bones), 3, 3)
    joints = dict(zip(JOINTS, model.pose(rest, still).joints[0].numpy(), strict=True))
    height = [
        joints[name][2] for name in ("l_heel", "l_ankle", "l_knee", "l_hip", "spine", "thorax")
    ]
    assert height == sorted(height)
    assert joints["thorax"][2] < joints["nose"][2] < joints["l_eye"][2] < joints["head_top"][2]
    for name in JOINTS:
        if name[1] == "_":
            assert (joints[name][0] > 0) == name.startswith("l_"), name
    assert joints["nose"][1] < joints["l_ear"][1], "the person faces -y"


def test_vertex_normals_point_outwards_and_match_a_loop(model: BodyModel) -> None:
    surface = model.shape(torch.zeros(1, 10)).surface.float()
    normals = model.vertex_normals(surface)[0].numpy()
    v, faces = surface[0].numpy(), model.faces.numpy()
    for vertex in (0, 100, 5000, 12000):
        total = np.zeros(3)
        for a, b, c in faces[(faces == vertex).any(1)]:
            total += np.cross(v[b] - v[a], v[c] - v[a])
        np.testing.assert_allclose(normals[vertex], total / np.linalg.norm(total), atol=1e-4)
    for axis in range(3):
        assert (
            normals[v[:, axis].argmax(), axis] > 0.5 and normals[v[:, axis].argmin(), axis] < -0.5
        )


def test_projection_as_a_plain_pinhole() -> None:
    rng = np.random.default_rng(1)
    forward = torch.nn.functional.normalize(torch.as_tensor(rng.normal(size=(2, 3))), dim=-1)
    camera = Camera(
        position=torch.as_tensor(rng.normal(size=(2, 3))),
        rotation=axes_looking_along(forward, torch.tensor([0.2, -0.1], dtype=torch.float64)),
        focal=torch.tensor([1.3, 2.0], dtype=torch.float64),
        centre=torch.as_tensor(rng.uniform(0, 1, (2, 2))),
    )
    points = (
        camera.position[:, None]
        + 3 * forward[:, None]
        + torch.as_tensor(rng.normal(size=(2, 7, 3))) / 3
    )
    found = camera.project(points)
    for b, m in itertools.product(range(2), range(7)):
        rotation, f = camera.rotation[b].numpy(), float(camera.focal[b])
        x, y, z = rotation @ (points[b, m].numpy() - camera.position[b].numpy())
        expected = [
            f * x / z + float(camera.centre[b, 0]),
            f * y / z + float(camera.centre[b, 1]),
            z,
        ]
        np.testing.assert_allclose(found[b, m], expected, atol=1e-9)
    np.testing.assert_allclose(
        camera.rays(found[..., :2]) * found[..., 2:], camera.to_camera(points), atol=1e-9
    )


def test_camera_axes_are_right_down_forward() -> None:
    axes = axes_looking_along(torch.tensor([[0.0, 1.0, 0.0]]), torch.zeros(1))[0]
    np.testing.assert_allclose(axes, [[1, 0, 0], [0, 0, -1], [0, 1, 0]], atol=1e-7)


def test_framing_fills_the_image_as_asked_and_keeps_up_up() -> None:
    rng = np.random.default_rng(2)
    points = torch.as_tensor(rng.uniform([-0.4, -0.3, 0], [0.4, 0.3, 1.7], (3, 200, 3))).float()
    fill, offset = torch.tensor([0.7, 0.8, 0.88]), torch.tensor([[0.05, 0.0], [0, -0.05], [0, 0]])
    camera = framing_camera(
        points,
        azimuth=torch.tensor([0.0, 1.0, -2.0]),
        elevation=torch.tensor([0.0, 0.3, 0.1]),
        roll=torch.zeros(3),
        field_of_view=torch.full((3,), 0.7),
        fill=fill,
        offset=offset,
    )
    xy = camera.project(points)[..., :2]
    low, high = xy.amin(1), xy.amax(1)
    torch.testing.assert_close((high - low).amax(1), fill, atol=1e-5, rtol=0)
    torch.testing.assert_close((high + low) / 2, 0.5 + offset, atol=1e-5, rtol=0)
    ends = camera.project(torch.tensor([[[0.0, 0, 0], [0, 0, 1.7]]]).expand(3, -1, -1))
    assert (ends[:, 1, 1] < ends[:, 0, 1]).all()


@pytest.mark.parametrize("name", ["plain", "background", "rooms", "fashion", "taichi"])
def test_every_joint_of_both_moments_is_inside_the_frame(model: BodyModel, name: str) -> None:
    protocol = load_protocol(f"people_{name}")
    assert isinstance(protocol, PeopleProtocol)
    for split in ("train", "test"):
        scenes = [sample_scene(protocol.settings, split, i) for i in range(64)]
        stage = set_stage(scenes, model, CPU)
        for moment in stage.moments:
            xy = stage.camera.project(moment.joints)[..., :2]
            assert float(xy.min()) > -1e-6 and float(xy.max()) < 1 + 1e-6
            torch.testing.assert_close(
                moment.surface[..., 2].amin(1), torch.zeros(64), atol=1e-5, rtol=0
            )


def test_what_would_leave_the_frame_is_moved_no_further_than_its_border() -> None:
    points = torch.as_tensor(
        np.random.default_rng(3).uniform([-0.4, -0.3, 0], [0.4, 0.3, 1.7], (1, 200, 3))
    ).float()
    camera = framing_camera(
        points,
        azimuth=torch.zeros(1),
        elevation=torch.zeros(1),
        roll=torch.zeros(1),
        field_of_view=torch.full((1,), 0.7),
        fill=torch.tensor([0.9]),
        offset=torch.tensor([[0.02, -0.3]]),
    )
    xy = camera.project(points)[0, :, :2]
    assert float(xy[:, 1].min()) == pytest.approx(0, abs=1e-5)
    assert float(xy[:, 1].max()) == pytest.approx(0.9, abs=1e-5)
    assert float(xy[:, 0].min() + xy[:, 0].max()) / 2 == pytest.approx(0.52, abs=1e-5)


@pytest.mark.parametrize("position", [(3.0, 1.0, 1.6), (-0.5, -4.0, 0.8)])
def test_a_camera_that_stands_somewhere_frames_people_beside_its_axis(
    position: tuple[float, float, float],
) -> None:
    """As a crop: the camera keeps its place and axes, only focal length and centre follow."""
    rng = np.random.default_rng(4)
    points = torch.as_tensor(rng.uniform([-0.4, -0.3, 0], [0.4, 0.3, 1.7], (1, 200, 3))).float()
    camera = framing_camera(
        points,
        azimuth=torch.tensor([math.atan2(position[1], position[0]) + 0.3]),
        elevation=torch.tensor([0.1]),
        roll=torch.zeros(1),
        field_of_view=torch.full((1,), 9.0),
        fill=torch.tensor([0.8]),
        offset=torch.zeros(1, 2),
        position=torch.tensor([position]),
    )
    assert camera.position[0].tolist() == pytest.approx(position)
    xy = camera.project(points)[0, :, :2]
    low, high = xy.amin(0), xy.amax(0)
    assert float((high - low).max()) == pytest.approx(0.8, abs=1e-5)
    torch.testing.assert_close((high + low) / 2, torch.full((2,), 0.5), atol=1e-5, rtol=0)
    assert not 0.2 < float(camera.centre[0, 0]) < 0.8, "the optical axis passes beside the person"
