"""The z-buffer and the room against float64 ray casting through pixel centres."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kpbench.api import Array
from kpbench.people.body.shape import BodyModel
from kpbench.people.picture.raster import depth_key, key_index, rasterize, rectangle_samples
from kpbench.people.picture.texels import look_up, packed_texels
from kpbench.people.scene.room import Boxes, RoomSurface, look, paint, place_boxes
from kpbench.people.scene.sampler import (
    EMPTY_ROOM_ATTEMPT,
    sample_room,
    sample_scene,
    texture_bank,
)
from kpbench.people.scene.stage import Stage, set_stage
from kpbench.people.scene.textures import KINDS, PER_KIND, SIZE

from .settings import CROWDED, ROOMS

CPU = torch.device("cpu")


def ray_cast(vertices: Array, faces: Array, rays: Array) -> tuple[Array, Array]:
    """Möller and Trumbore's test of all rays from the origin with all front faces, in float64.

    Returns depth (infinite for a miss) and face (-1 for a miss) of every ray.
    """
    a, b, c = (vertices[faces[:, i]].astype(float) for i in range(3))
    depth, face = np.full(len(rays), np.inf), np.full(len(rays), -1)
    for i, ray in enumerate(rays):
        p = np.cross(ray, c - a)
        det = ((b - a) * p).sum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = (-a * p).sum(1) / det
            q = np.cross(-a, b - a)
            v = q @ ray / det
            t = ((c - a) * q).sum(1) / det
        hit = (det > 0) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-3)
        if hit.any():
            face[i] = np.flatnonzero(hit)[t[hit].argmin()]
            depth[i] = t[hit].min()
    return depth, face


def pixel_rays(size: int, focal: float, centre: tuple[float, float]) -> Array:
    middle = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(middle, middle)
    plane = [(x - centre[0]) / focal, (y - centre[1]) / focal, np.ones_like(x)]
    return np.stack(plane, -1).reshape(-1, 3)


def rastered(vertices: Array, faces: Array, size: int) -> tuple[Array, Array]:
    screen = vertices.copy()
    screen[:, :2] = (vertices[:, :2] / vertices[:, 2:] + 0.5) * size  # focal 1, centre 0.5
    found = rasterize(
        torch.as_tensor(screen, dtype=torch.float32)[None], torch.as_tensor(faces), size
    )
    depth, face = np.full(size * size, np.inf), np.full(size * size, -1)
    depth[found.sample], face[found.sample] = found.depth, found.face
    torch.testing.assert_close(found.weights.sum(0), torch.ones(len(found.face)))
    seen = found.interpolate(torch.as_tensor(vertices, dtype=torch.float32)[None]).T
    rays = pixel_rays(size, 1.0, (0.5, 0.5))[found.sample.numpy()]
    np.testing.assert_allclose(seen, rays * found.depth.numpy()[:, None], atol=2e-4)
    return depth, face


@pytest.mark.parametrize("seed", range(6))
def test_random_triangles_as_ray_casting(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vertices = rng.uniform([-1.5, -1.5, 1.5], [1.5, 1.5, 4], (30, 3))
    faces = rng.permutation(30).reshape(10, 3)
    depth, face = rastered(vertices, faces, 32)
    expected_depth, expected_face = ray_cast(vertices, faces, pixel_rays(32, 1.0, (0.5, 0.5)))
    assert (face >= 0).any()
    assert (face == expected_face).mean() > 0.998  # an edge may pass through a pixel centre
    same = (face == expected_face) & (face >= 0)
    np.testing.assert_allclose(depth[same], expected_depth[same], rtol=1e-5)


def test_one_triangle_may_cover_the_whole_image_and_its_back_is_not_drawn() -> None:
    vertices = np.array([[-9.0, -9, 2], [9, -9, 2], [0, 20, 2]])
    front, back = np.array([[0, 2, 1]]), np.array([[0, 1, 2]])
    assert (rastered(vertices, front, 70)[1] == 0).all()
    assert (rastered(vertices, back, 70)[1] == -1).all()


def test_what_is_behind_the_camera_is_not_drawn() -> None:
    vertices = np.array([[-1.0, -1, -2], [1, -1, -2], [0, 1, -2]])
    for order in ([0, 1, 2], [0, 2, 1]):
        assert (rastered(vertices, np.array([order]), 16)[1] == -1).all()


def test_a_square_covers_exactly_the_pixels_whose_centre_it_holds() -> None:
    # corners at pixel coordinates (2.4, 3.6) and (7.6, 5.4) of 10
    x, y = np.array([2.4, 7.6, 7.6, 2.4]) / 10 - 0.5, np.array([3.6, 3.6, 5.4, 5.4]) / 10 - 0.5
    vertices = np.stack([x, y, np.ones(4)], -1)
    face = rastered(vertices, np.array([[0, 2, 1], [0, 3, 2]]), 10)[1].reshape(10, 10)
    expected = np.zeros((10, 10), bool)
    expected[4:5, 2:7] = True  # centres x 2.5 to 6.5 (7.5 < 7.6 too), y 4.5
    expected[4:5, 7] = True
    assert ((face >= 0) == expected).all()


@pytest.fixture(scope="module")
def stage() -> Stage:
    scenes = [sample_scene(ROOMS, "train", i) for i in range(2)]
    return set_stage(scenes, BodyModel(CPU), CPU)


def test_a_body_as_ray_casting(stage: Stage) -> None:
    size, faces = 24, BodyModel(CPU).faces
    surface = stage.moments[0].surface
    screen = stage.camera.project(surface)
    screen[..., :2] *= size
    found = rasterize(screen, faces, size)
    for image in range(2):
        centre = stage.camera.centre[image].tolist()
        rays = pixel_rays(size, float(stage.camera.focal[image]), (centre[0], centre[1]))
        seen = stage.camera.to_camera(surface)[image].numpy()
        depth, face = ray_cast(seen, faces.numpy(), rays)
        mine = found.where(found.image == image)
        result, ids = np.full(size * size, np.inf), np.full(size * size, -1)
        result[mine.sample], ids[mine.sample] = mine.depth, mine.face
        assert (ids >= 0).sum() > 30
        assert ((ids >= 0) == (face >= 0)).mean() > 0.999
        same = (ids == face) & (ids >= 0)
        assert same.sum() > 0.98 * (ids >= 0).sum()
        np.testing.assert_allclose(result[same], depth[same], atol=2e-4)


def surface(boxes: Boxes, stage: Stage, size: int, texels: torch.Tensor) -> RoomSurface:
    return paint(boxes, stage.camera, look(boxes, stage.camera, size), texels)


def test_the_room_as_ray_casting(stage: Stage) -> None:
    size = 24
    rooms = [sample_room(CROWDED, "train", i) for i in range(2)]
    texels = packed_texels(texture_bank(0, "train").texels, CPU)
    boxes = place_boxes(rooms, stage.camera, stage.extent)
    seen = surface(boxes, stage, size, texels)
    for image in range(2):
        centre = stage.camera.centre[image].tolist()
        rays = pixel_rays(size, float(stage.camera.focal[image]), (centre[0], centre[1]))
        world = rays @ stage.camera.rotation[image].double().numpy()
        position = stage.camera.position[image].double().numpy()
        depth = np.array([box_depths(boxes, image, position, ray).min() for ray in world])
        np.testing.assert_allclose(seen.depth[image], depth, rtol=1e-4)
        np.testing.assert_allclose(
            seen.point[:, image].T, position + world * depth[:, None], atol=1e-3
        )
        normal = seen.normal.flatten(1)[:, seen.face[image]].double().numpy().T
        np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-5)
        assert ((normal * world).sum(1) < 1e-6).all(), "surfaces face the camera"


def box_depths(boxes: object, image: int, origin: Array, ray: Array) -> Array:
    """Return the depth of the visible side of every box, one face at a time, in float64."""
    depths = []
    for number in range(boxes.present.shape[1]):  # type: ignore[attr-defined]
        if not boxes.present[image, number]:  # type: ignore[attr-defined]
            continue
        cos, sin = boxes.turn[image, number].double().numpy()  # type: ignore[attr-defined]
        turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        start = turn @ (origin - boxes.centre[image, number].double().numpy())  # type: ignore[attr-defined]
        step, half = turn @ ray, boxes.half[image, number].double().numpy()  # type: ignore[attr-defined]
        for axis in range(3):
            for side in (-1, 1):
                t = (side * half[axis] - start[axis]) / step[axis]
                entering = step[axis] * side < 0
                hit = np.abs(start + t * step) <= half + 1e-9
                if t > 0.05 and hit.all() and entering != (number == 0):
                    depths.append(t)
    return np.array(depths)


def test_furniture_may_all_be_out_of_view(stage: Stage) -> None:
    rooms = [sample_room(ROOMS, "train", i, EMPTY_ROOM_ATTEMPT) for i in range(2)]
    texels = packed_texels(texture_bank(0, "train").texels, CPU)
    seen = surface(place_boxes(rooms, stage.camera, stage.extent), stage, 8, texels)
    assert (seen.depth > 0).all() and seen.depth.isfinite().all()


def test_rectangles_list_every_sample_once() -> None:
    low, high = torch.tensor([[1, 2], [0, 0], [3, 1]]), torch.tensor([[3, 2], [0, 2], [4, 2]])
    owner, column, row = rectangle_samples(low.T.float(), high.T.float())
    listed = sorted(zip(owner.tolist(), column.tolist(), row.tolist(), strict=True))
    expected = [(0, c, 2) for c in (1, 2, 3)] + [(1, 0, r) for r in (0, 1, 2)]
    expected += [(2, c, r) for c in (3, 4) for r in (1, 2)]
    assert listed == expected


@pytest.mark.parametrize("width", [1, 2, 3, 7, 100, 1535, 4096])
def test_rectangles_as_large_as_an_image_are_listed_exactly(width: int) -> None:
    """Rows and columns come from float32 divisions, which must not round up to the next row."""
    high = torch.tensor([[float(width - 1)], [4095.0]])
    owner, column, row = rectangle_samples(torch.zeros(2, 1), high)
    place = torch.arange(width * 4096)
    assert len(owner) == len(place)
    assert (row == torch.div(place, width, rounding_mode="floor")).all()
    assert (column == place % width).all()


def test_depth_keys_sort_by_depth_then_index() -> None:
    depth = torch.tensor([2.0, 1.0, 1.0, 0.5, 300.0])
    key = depth_key(depth, torch.tensor([0, 7, 3, 9, 1]))
    assert key.argsort().tolist() == [3, 2, 1, 0, 4]
    assert key_index(key).tolist() == [0, 7, 3, 9, 1]


def test_textures_look_up_the_right_texel_and_repeat() -> None:
    bank = texture_bank(0, "test")
    assert bank.texels.shape == (len(KINDS) * PER_KIND, SIZE, SIZE, 3)
    texels = packed_texels(bank.texels, CPU)
    u, v = (
        torch.tensor([0.5 / SIZE, 3.25 / SIZE, -0.5 / SIZE]),
        torch.tensor([0.0, 1 + 7.9 / SIZE, 0.5]),
    )
    found = look_up(texels, torch.tensor([5, 40, 11]), u, v)
    expected = [bank.texels[5, 0, 0], bank.texels[40, 7, 3], bank.texels[11, SIZE // 2, SIZE - 1]]
    np.testing.assert_allclose(found.T, np.stack(expected) / 255)


def test_splits_have_textures_of_their_own() -> None:
    banks = [texture_bank(0, split) for split in ("train", "test", "validation")]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        same = (banks[first].texels == banks[second].texels).all(axis=(1, 2, 3))
        assert not same.any()
