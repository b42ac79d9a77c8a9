"""AutoLink, the depth teacher, Distill-DKP and the random detector, a few steps each."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kpbench.api import FitContext, ImageSet, Method
from kpbench.errors import (
    CheckpointError,
    ContractError,
    InvalidInputError,
    TrainingError,
    UnknownNameError,
)
from kpbench.nn import edge_map, random_grid_mask
from kpbench.nn.images import normalised, resized
from kpbench.training import loop
from kpbench.training.batch import Data

K = 5
TRAINED = ("autolink", "depth_teacher", "distill_dkp")
ALL = (*TRAINED, "random_detector")


def module(name: str) -> Any:
    return importlib.import_module(f"kpbench_methods.{name}")


def plugin(name: str, role: str = "human36m", **overrides: Any) -> Any:
    return module(name).PLUGIN.configured(role=role, recipe="smoke", overrides=overrides)


def network(k: int) -> Any:
    kinds = {"detector_width": 4, "decoder_width": 4, "edge_start": -4.0, "edge_scale": 512.0}
    return module("autolink").AutoLinkNetwork(k, **kinds)


@pytest.fixture(scope="module")
def data() -> ImageSet:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (12, 32, 32, 3)).astype(np.uint8)
    return ImageSet(rgb, depth=rng.integers(0, 4000, (12, 32, 32)).astype(np.uint16))


def fitted(
    name: str, data: ImageSet, *, seed: int = 0, k: int = K, teacher: Any = None, **overrides: Any
) -> Any:
    method = plugin(name, **overrides)
    if name == "distill_dkp" and teacher is None:
        teacher = fitted("depth_teacher", data, k=k)
    images = data.restricted(method.needs)
    method.fit(images, n_keypoints=k, seed=seed, context=FitContext(dependency=teacher))
    return method


def weights(method: Any) -> dict[str, np.ndarray[Any, Any]]:
    return {name: value.copy() for name, value in method.state().items()}


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", ALL)
def test_fit_predict_save_and_load(name: str, data: ImageSet, tmp_path: Path) -> None:
    method = fitted(name, data)
    view = data.restricted(method.inputs)
    found = method.predict(view).checked(len(data), K, name)
    method.save(tmp_path)
    loaded = plugin(name)
    loaded.load(tmp_path)
    assert isinstance(loaded, Method)
    again = loaded.predict(view)
    np.testing.assert_array_equal(found.points, again.points)
    if name == "random_detector":
        assert found.graph is None
    else:
        assert found.graph.shape == (K, K)
        assert np.array_equal(found.graph, found.graph.T)
        assert (found.graph >= 0).all()
        assert not found.graph.diagonal().any()
        np.testing.assert_array_equal(found.graph, again.graph)
    assert found.points.std(axis=0).max() > 0


@pytest.mark.parametrize("name", ALL)
def test_the_confidence_is_what_the_heatmap_holds_near_the_keypoint(
    name: str, data: ImageSet
) -> None:
    method = fitted(name, data)
    view = data.restricted(method.inputs)
    found = method.predict(view)
    pixels = resized(method.pixels(view), method.image_size)
    logits = method.detector()(normalised(pixels)).logits
    mass = logits.flatten(2).softmax(-1).view_as(logits).double().numpy()
    centres = (np.arange(logits.shape[-1]) + 0.5) / logits.shape[-1]
    x, y = (found.points[..., axis, None, None] for axis in (0, 1))
    near = np.hypot(centres - x, centres[:, None] - y) <= 0.1
    np.testing.assert_allclose(found.confidence, (mass * near).sum((2, 3)), atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_result_and_other_seed_another(name: str, data: ImageSet) -> None:
    teacher = fitted("depth_teacher", data)
    torch.manual_seed(1)
    one = weights(fitted(name, data, teacher=teacher))
    torch.manual_seed(2)  # the caller's generator is of no consequence, and is left alone
    state = torch.get_rng_state()
    assert same(one, weights(fitted(name, data, teacher=teacher)))
    assert torch.equal(state, torch.get_rng_state())
    assert not same(one, weights(fitted(name, data, seed=1, teacher=teacher)))


def test_the_threads_of_the_caller_do_not_matter(data: ImageSet) -> None:
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(weights(fitted("autolink", data)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert same(*found)


@pytest.mark.parametrize("name", ALL)
def test_one_image_does_not_affect_another(name: str, data: ImageSet) -> None:
    method = fitted(name, data)
    view = data.restricted(method.inputs)
    together = method.predict(view).points
    np.testing.assert_allclose(method.predict(view[3:4]).points, together[3:4], atol=1e-6)


@pytest.mark.parametrize("role", ["human36m", "deepfashion", "taichi", "something_new"])
@pytest.mark.parametrize("name", TRAINED)
def test_every_role_trains(name: str, role: str, data: ImageSet) -> None:
    method = plugin(name, role, steps=1)
    teacher = fitted("depth_teacher", data)
    context = FitContext(dependency=teacher)
    method.fit(data.restricted(method.needs), n_keypoints=K, seed=0, context=context)
    assert method.predict(data.restricted(method.inputs)).points.shape == (12, K, 2)


def test_images_of_another_shape_are_resized(data: ImageSet) -> None:
    method = fitted("autolink", data)
    wide = ImageSet(np.repeat(data.images, 2, axis=2))
    np.testing.assert_allclose(
        method.predict(wide).points, method.predict(ImageSet(data.images)).points, atol=0.02
    )


def test_training_moves_alpha_edges_and_both_networks() -> None:
    torch.manual_seed(0)
    model = network(K)
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    visible = random_grid_mask(
        4, (32, 32), cells=16, ratio=0.8, generator=torch.Generator().manual_seed(0)
    )
    found = model.complete(images, visible, model.detector(images), 5e-3)
    (found - images).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert model.alpha.item() == 1
    for parameter in (model.alpha, model.edge_logits, model.detector.head.weight):
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


def test_the_first_edge_map_is_as_faint_as_the_papers() -> None:
    torch.manual_seed(0)
    model = network(16)
    edge_weights = model.edge_weights().detach()
    assert float(edge_weights.mean()) == pytest.approx(0.018, abs=0.001)
    drawing = edge_map(torch.rand(1, 16, 2), edge_weights, (128, 128), 5e-4)
    assert 0.016 < float(drawing.max()) < 0.03


def test_holes_are_mid_grey_and_the_detector_sees_the_whole_image(data: ImageSet) -> None:
    model = network(K)
    seen = []
    model.decoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    visible = torch.zeros(2, 1, 32, 32)
    visible[..., :16] = 1
    with torch.no_grad():
        detection = model.detector(images)
        model.complete(images, visible, detection, 5e-3)
    assert torch.equal(seen[0][:, :3, :, :16], images[..., :16])
    assert not seen[0][:, :3, :, 16:].any()
    assert seen[0].shape[1] == 4


def test_a_smaller_picture_is_completed_than_the_detector_sees(data: ImageSet) -> None:
    method = plugin("autolink", image_size=32, completed_size=16)
    helper = method.helpers(data, n_keypoints=K, context=FitContext())["perceptual"]
    model = network(K)
    detected, completed = [], []
    model.detector.register_forward_pre_hook(lambda _, args: detected.append(args[0]))
    model.decoder.register_forward_pre_hook(lambda _, args: completed.append(args[0]))
    drawing = Data(
        data, resized(data.images, 32), {"perceptual": helper}, "cpu",
        batch_size=len(data), flip=False, seed=0, steps=1,
    )  # fmt: skip
    batch = drawing.batch(0)
    images = batch.images
    method.mask_ratio = 0.0
    loss = method.loss(model, batch)
    means = images.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2))
    assert detected[0].shape[2:] == (32, 32)
    torch.testing.assert_close(completed[0][:, :3], means)
    found = model.decoder(completed[0])
    assert loss.item() == pytest.approx(helper.network(found, helper.network.wanted(means)).item())


def test_overrides_win_and_unknown_ones_are_named() -> None:
    assert plugin("autolink", steps=2, thickness=0.1).thickness == 0.1
    with pytest.raises(UnknownNameError, match="did you mean thickness"):
        plugin("autolink", thicknes=0.1)
    with pytest.raises(UnknownNameError, match="gamma"):
        plugin("autolink", gamma=0.1)  # a parameter of distill_dkp alone


def test_inverse_depth_is_bright_when_near_and_ignores_where_nothing_is() -> None:
    inverse_depth = module("depth_teacher").inverse_depth
    depth = np.full((1, 20, 20), 4000, np.uint16)
    depth[0, 5:15, 5:15] = 1500
    grey = inverse_depth(depth)
    assert grey.shape == (1, 20, 20, 3)
    assert set(np.unique(grey)) == {64, 255}
    assert (grey[0, 5:15, 5:15] == 255).all()
    cut = depth.copy()
    cut[depth == 4000] = 0
    assert set(np.unique(inverse_depth(cut)[0, :5])) == {0}
    assert not inverse_depth(np.zeros_like(depth)).any()
    # One stray pixel at the lens does not flatten the rest.
    depth[0, 0, 0] = 1
    assert (inverse_depth(depth)[0, 5:15, 5:15] == 255).all()


def test_teacher_needs_depth(data: ImageSet) -> None:
    with pytest.raises(InvalidInputError, match="depth"):
        plugin("depth_teacher").fit(
            ImageSet(data.images), n_keypoints=K, seed=0, context=FitContext()
        )


def test_cosine_loss_falls_as_embeddings_align() -> None:
    cosine_loss = module("distill_dkp").cosine_loss
    torch.manual_seed(0)
    teacher, other = torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8)
    losses = [float(cosine_loss(other + a * (teacher - other), teacher)) for a in (0, 0.3, 0.7, 1)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == pytest.approx(-1)
    # One vector an image: the scale of one channel counts, that of the whole does not.
    assert float(cosine_loss(3 * teacher, teacher)) == pytest.approx(-1)
    louder = teacher.clone()
    louder[:, 0] *= 10
    assert float(cosine_loss(louder, teacher)) > -0.95


@pytest.mark.parametrize("layer", ["output", "transposed_conv", "resnet"])
def test_the_student_comes_closer_to_its_frozen_teacher(layer: str, data: ImageSet) -> None:
    training = module("distill_dkp")
    teacher = fitted("depth_teacher", data)
    before = weights(teacher)

    def alignment(method: Any) -> float:
        views = [normalised(resized(m.pixels(data), 32)) for m in (method, teacher)]
        with torch.inference_mode():
            student, taught = (
                getattr(m.fitted()(view), training.LAYERS[layer])
                for m, view in zip((method, teacher), views, strict=True)
            )
        return float(training.cosine_loss(student, taught))

    options: dict[str, Any] = {"teacher": teacher, "layer": layer, "steps": 12}
    alone = fitted("distill_dkp", data, gamma=0.0, **options)
    taught = fitted("distill_dkp", data, gamma=10.0, **options)
    assert alignment(taught) < alignment(alone)
    assert same(before, weights(teacher))
    assert all(not p.requires_grad for p in teacher.fitted().parameters())


def test_without_gamma_the_student_is_autolink(data: ImageSet) -> None:
    student, autolink = fitted("distill_dkp", data, gamma=0.0), fitted("autolink", data)
    assert same(weights(student), weights(autolink))


def test_a_teacher_that_does_not_fit_is_refused(data: ImageSet) -> None:
    with pytest.raises(ContractError, match="given nothing"):
        plugin("distill_dkp").fit(data, n_keypoints=K, seed=0, context=FitContext())
    with pytest.raises(ContractError, match="given autolink"):
        fitted("distill_dkp", data, teacher=fitted("autolink", data))
    with pytest.raises(CheckpointError, match="not fitted"):
        fitted("distill_dkp", data, teacher=plugin("depth_teacher"))
    with pytest.raises(TrainingError, match="same K"):
        fitted("distill_dkp", data, teacher=fitted("depth_teacher", data, k=K + 1))
    with pytest.raises(TrainingError, match="layer must be one of"):
        fitted("distill_dkp", data, layer="outputs")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"image_size": 40}, "multiple of 16"),
        ({"completed_size": 24}, "completed_size must be 0 or a multiple of 16"),
        ({"decay": "linear"}, "decay must be one of"),
        ({"warm_up": -1}, "warm_up"),
        ({"detector_width": 0}, "detector_width"),
        ({"decoder_width": 0}, "decoder_width"),
        ({"thickness": 0.0}, "thickness"),
        ({"mask_ratio": 1.5}, "mask_ratio"),
        ({"mask_cells": 0}, "mask_cells"),
        ({"steps": 0}, "steps"),
    ],
)
def test_unusable_settings_are_named(
    overrides: dict[str, Any], message: str, data: ImageSet
) -> None:
    with pytest.raises(TrainingError, match=message):
        fitted("autolink", data, **overrides)


def test_k_of_one_and_one_image_are_refused(data: ImageSet) -> None:
    with pytest.raises(TrainingError, match="K of 2 or more"):
        fitted("autolink", data, k=1)
    with pytest.raises(TrainingError, match="two images or more"):
        fitted("autolink", data[:1])


def test_prediction_before_fit_and_foreign_checkpoints(data: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not fitted"):
        plugin("autolink").predict(ImageSet(data.images))
    method = fitted("autolink", data)
    method.save(tmp_path)
    with pytest.raises(CheckpointError, match="of another method"):
        plugin("depth_teacher").load(tmp_path)
    state = weights(method)
    for change in (
        {"head.bias": np.zeros(K + 1, np.float32)},
        {"edge_weights": np.zeros(3, np.float32)},
        {"stranger": np.zeros(3, np.float32)},
    ):
        with pytest.raises(CheckpointError, match="does not fit autolink"):
            plugin("autolink").restore({**state, **change})
    del state["head.weight"]
    with pytest.raises(CheckpointError, match="does not fit autolink"):
        plugin("autolink").restore(state)


class KilledError(Exception):
    """Stands for the end of the process."""


def interrupted(
    method: Any, data: ImageSet, folder: Path, monkeypatch: pytest.MonkeyPatch, teacher: Any = None
) -> FitContext:
    """Train until the end of step 4, of which 3 were saved; return the context to go on in."""
    defaults: dict[str, Any] = loop.fit_network.__kwdefaults__ or {}
    monkeypatch.setitem(defaults, "save_every", 3)

    def kill(done: int, *_: object) -> None:
        if done == 4:
            raise KilledError

    context = FitContext(checkpoints=folder, progress=kill, dependency=teacher)
    with pytest.raises(KilledError):
        method.fit(data.restricted(method.needs), n_keypoints=K, seed=0, context=context)
    return FitContext(checkpoints=folder, dependency=teacher)


@pytest.mark.parametrize("name", ["autolink", "distill_dkp"])
def test_a_killed_training_resumes(
    name: str, data: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = fitted("depth_teacher", data) if name == "distill_dkp" else None
    # 8 steps of 4 of 12 images: what is said of the images is kept
    whole = fitted(name, data, teacher=teacher, steps=8)
    method = plugin(name, steps=8)
    context = interrupted(method, data, tmp_path, monkeypatch, teacher)
    steps: list[int] = []
    context = replace(context, progress=lambda done, *_: steps.append(done))
    method.fit(data.restricted(method.needs), n_keypoints=K, seed=0, context=context)
    assert steps == [4, 5, 6, 7, 8]
    assert same(weights(method), weights(whole))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("autolink", {"thickness": 0.02}),
        ("autolink", {"mask_ratio": 0.5}),
        ("autolink", {"K": K + 1}),
        ("distill_dkp", {"gamma": 0.7}),
        ("distill_dkp", {"teacher": 1}),
    ],
)
def test_a_killed_training_is_not_taken_up_by_another(
    name: str,
    change: dict[str, Any],
    data: ImageSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    teacher = fitted("depth_teacher", data) if name == "distill_dkp" else None
    context = interrupted(plugin(name, steps=8), data, tmp_path, monkeypatch, teacher)
    if "teacher" in change:
        context = replace(context, dependency=fitted("depth_teacher", data, seed=1))
    changed = {key: value for key, value in change.items() if key not in ("teacher", "K")}
    other = plugin(name, steps=8, **changed)
    k = change.get("K", K)
    with pytest.raises(CheckpointError, match="other data or settings"):
        other.fit(data.restricted(other.needs), n_keypoints=k, seed=0, context=context)


def test_a_fitted_method_moves(data: ImageSet) -> None:
    method = fitted("autolink", data)
    method.to("meta")
    assert {p.device.type for p in method.fitted().parameters()} == {"meta"}


def test_prediction_sees_weights_that_change_or_move(data: ImageSet) -> None:
    method = fitted("autolink", data)
    view = ImageSet(data.images)
    before = method.predict(view).points
    with torch.no_grad():
        method.fitted().head.bias += torch.arange(K)
        method.fitted().head.weight *= 2
    after = method.predict(view).points
    assert not np.allclose(before, after, atol=1e-6)
    with torch.inference_mode():
        pixels = normalised(resized(data.images, 32))
        wanted = method.detector()(pixels).points.numpy()
    np.testing.assert_allclose(after, wanted, atol=1e-5)
