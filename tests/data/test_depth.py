"""Depth maps of packed images, with tiny random models that take the real path."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from kpbench.api import Array, ImageSet, no_progress
from kpbench.data.depth import MODELS, compute_depth, depth_fingerprint, load_depth
from kpbench.data.depth.estimate import Estimator, Preprocessing, autocast, load_estimator
from kpbench.data.depth.models import Weights, find_weights
from kpbench.data.depth.scale import FAR, NEAR
from kpbench.data.packing.packed import PackedSet
from kpbench.data.source import Rows, Source
from kpbench.errors import (
    CacheError,
    ContractError,
    InvalidInputError,
    MissingDataError,
    MissingPackageError,
    MissingWeightsError,
    StorageError,
    UnknownNameError,
)
from kpbench.registry import load_method

transformers: Any = pytest.importorskip("transformers")
torch: Any = pytest.importorskip("torch")

PIXELS = 40
KINDS = ("dpt_swin2", "dpt_vit", "depth_anything")
COMMAND = "kpbench data depth toy --model midas_small"


def tiny_net(kind: str, seed: int = 0) -> Any:
    """A random net of a published architecture whose maps have relief."""
    torch.manual_seed(seed)
    stages = ["stage1", "stage2", "stage3", "stage4"]
    if kind == "dpt_swin2":
        backbone = transformers.Swinv2Config(
            image_size=64, embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=4,
            out_features=stages,
        )  # fmt: skip
        net = transformers.DPTForDepthEstimation(
            transformers.DPTConfig(
                backbone_config=backbone, neck_hidden_sizes=[8, 16, 32, 64], fusion_hidden_size=8
            )
        )
    elif kind == "dpt_vit":
        net = transformers.DPTForDepthEstimation(
            transformers.DPTConfig(
                hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32,
                image_size=64, patch_size=16, backbone_out_indices=[0, 1, 2, 3],
                neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=8,
            )
        )  # fmt: skip
    else:
        backbone = transformers.Dinov2Config(
            hidden_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=70,
            patch_size=14, out_features=stages, reshape_hidden_states=False,
        )  # fmt: skip
        net = transformers.DepthAnythingForDepthEstimation(
            transformers.DepthAnythingConfig(
                backbone_config=backbone, patch_size=14, reassemble_hidden_size=16,
                neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=8, head_hidden_size=8,
            )
        )  # fmt: skip
    for name, weight in net.named_parameters():
        if weight.ndim == 4:
            torch.nn.init.kaiming_normal_(weight)
            if weight.shape[0] == 1:  # the last, after which a ReLU cuts what is negative
                weight.data.abs_()
        elif name.startswith("head.") and name.endswith("bias"):
            torch.nn.init.constant_(weight, 2.0)
    return net.eval()


def tiny_processor(kind: str) -> Any:
    if kind == "depth_anything":
        return transformers.DPTImageProcessor(
            size={"height": 70, "width": 70}, keep_aspect_ratio=True, ensure_multiple_of=14,
            image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225], resample=3,
        )  # fmt: skip
    return transformers.DPTImageProcessor(size={"height": 64, "width": 64}, resample=3)


def write_model(folder: Path, kind: str, seed: int = 0, **config: Any) -> Path:
    net = tiny_net(kind, seed)
    for name, value in config.items():
        setattr(net.config, name, value)
    net.save_pretrained(folder)
    tiny_processor(kind).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {kind: write_model(folder / kind, kind) for kind in KINDS}


def pictures(n: int, pixels: int = PIXELS) -> Array:
    """Coloured discs before gradients, read-only as packed images are."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:pixels, :pixels] / pixels
    found = np.empty((n, pixels, pixels, 3), np.uint8)
    for image in found:
        a, b, r = rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7), rng.uniform(0.1, 0.3)
        disc = (x - a) ** 2 + (y - b) ** 2 < r**2
        back = 255 * np.stack([x, y, (x + y) / 2], -1) * rng.uniform(0.3, 0.9, 3)
        image[:] = np.where(disc[..., None], rng.uniform(0, 255, 3), back)
    found.setflags(write=False)
    return found


@dataclass(frozen=True)
class Photos(Source):
    """PNG files with two landmarks."""

    background: str = "gray"

    @property
    def parts(self) -> Mapping[str, str]:
        return {"discovery": "all", "regression": "all", "test": "all"}

    def rows(self, root: Path, part: str) -> Rows:
        files = np.array(sorted(p.name for p in root.glob("*.png")))
        return Rows(files, landmarks=np.full((len(files), 2, 2), 10.0))


@dataclass
class Part:
    """What `compute_depth` uses of a packed set."""

    folder: Path
    images: Array
    protocol: str = "toy"
    digest: str = "abc"
    limit: int | None = None
    source: Source = Photos()

    def open(self) -> SimpleNamespace:
        return SimpleNamespace(images=self.images, digest=self.digest)


def part_of(folder: Path, n: int = 7, **more: Any) -> PackedSet:
    return cast(PackedSet, Part(folder / "toy-0", pictures(n), **more))


def compute(part: PackedSet, weights: Path | None, **more: Any) -> Array:
    settings: dict[str, Any] = {"device": "cpu", "batch_size": 3, **more}
    compute_depth("midas_small", part, weights=weights, **settings)
    return load_depth("midas_small", part)


def post_processed(processor: Any, output: Any, pixels: int) -> Array:
    """The maps at the size of the images; transformers before 4.47 left it to a recipe."""
    if not hasattr(processor, "post_process_depth_estimation"):
        depth = output.predicted_depth[:, None]
        size = (pixels, pixels)
        maps = torch.nn.functional.interpolate(depth, size, mode="bicubic", align_corners=False)
        return np.asarray(maps[:, 0].numpy())
    sizes = [(pixels, pixels)] * len(output.predicted_depth)
    done = processor.post_process_depth_estimation(output, sizes)
    return np.stack([one["predicted_depth"].numpy() for one in done])


def reference(folder: Path, images: Array) -> Array:
    """transformers' own way: its processor, its post-processing, one image at a time."""
    from PIL import Image

    net = transformers.AutoModelForDepthEstimation.from_pretrained(folder).float().eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    maps = []
    for image in images:
        inputs = processor(images=Image.fromarray(image), return_tensors="pt")
        with torch.no_grad():
            output = net(**inputs)
        maps.append(post_processed(processor, output, image.shape[0]))
    return np.concatenate(maps)


def stretched(maps: Array) -> Array:
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    return np.asarray((maps - low) / (high - low))


def inverse_share(depth: Array) -> Array:
    return np.asarray((1 / depth.astype(float) - 1 / FAR) / (1 / NEAR - 1 / FAR))


@pytest.mark.parametrize("kind", KINDS)
def test_preprocessing_is_that_of_the_processor(kind: str) -> None:
    processor = tiny_processor(kind)
    images = pictures(4)
    ours = Preprocessing.of(processor, PIXELS)(torch.from_numpy(images.copy()))
    theirs = processor(images=list(images.copy()), return_tensors="pt")["pixel_values"]
    assert ours.shape == theirs.shape
    level = 1 / 255 / min(np.ravel(processor.image_std))
    assert float((ours - theirs).abs().max()) <= 1.01 * level  # one grey level: 8-bit rounding
    assert float((ours - theirs).abs().mean()) < 0.1 * level


def test_preprocessing_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="CLIPImageProcessor does more than resizing"):
        Preprocessing.of(
            transformers.CLIPImageProcessor(
                size={"shortest_edge": 60}, crop_size={"height": 40, "width": 40}
            ),
            PIXELS,
        )


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_those_of_transformers(kind: str, models: dict[str, Path], tmp_path: Path) -> None:
    part = part_of(tmp_path)
    found = compute(part, models[kind])
    images = part.open().images
    wanted = stretched(reference(models[kind], images))
    assert found.shape == images.shape[:3] and found.dtype == np.uint16
    assert found.min() == NEAR and found.max() == FAR
    # resizing differs by a grey level at most, which the net passes on
    assert np.abs(inverse_share(found) - wanted).mean() < 0.01
    for got, expected in zip(inverse_share(found), wanted, strict=True):
        assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.999
    assert len(np.unique(found[0])) > 500  # finer than 8 bits


def test_near_is_bright_for_the_depth_teacher(models: dict[str, Path], tmp_path: Path) -> None:
    part = part_of(tmp_path)
    found = compute(part, models["dpt_swin2"])
    images = part.open().images
    method = cast(Any, load_method("depth_teacher"))
    seen = method.pixels(ImageSet(images, found))[..., 0].astype(float)
    for got, inverse in zip(seen, reference(models["dpt_swin2"], images), strict=True):
        far, near = np.percentile(inverse, [1, 99])
        wanted = 64 + 191 * np.clip((inverse - far) / (near - far), 0, 1)
        assert np.abs(got - wanted).mean() < 3
        assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.995


def test_estimates_are_exactly_the_nets_on_the_same_input(models: dict[str, Path]) -> None:
    estimator = load_estimator(find_weights("midas_small", models["dpt_vit"]), PIXELS, device="cpu")
    images = pictures(3)
    processor = tiny_processor("dpt_vit")
    inputs = processor(images=list(images.copy()), return_tensors="pt")["pixel_values"]
    fed = replace(estimator, preprocessing=cast(Any, lambda _: inputs))
    net = transformers.AutoModelForDepthEstimation.from_pretrained(models["dpt_vit"]).eval()
    with torch.no_grad():
        output = net(pixel_values=inputs)
    wanted = post_processed(processor, output, PIXELS)
    assert np.abs(fed(images) - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_a_metric_model_is_inverted(models: dict[str, Path], tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", "depth_anything", depth_estimation_type="metric")
    metric = load_estimator(find_weights("midas_small", folder), PIXELS, device="cpu")
    relative = load_estimator(
        find_weights("midas_small", models["depth_anything"]), PIXELS, device="cpu"
    )
    assert (metric.metric, relative.metric) == (True, False)
    y, _ = np.mgrid[:PIXELS, :PIXELS]
    output = SimpleNamespace(predicted_depth=torch.tensor(1.0 + y)[None])
    for estimator, wanted in ((metric, 1 / (1.0 + y)), (relative, 1.0 + y)):
        found = replace(estimator, net=lambda pixel_values: output)(pictures(1))[0]
        assert np.allclose(found, wanted, atol=1e-6)  # near is large, whatever the net predicts


@pytest.mark.parametrize("kind", KINDS)
def test_the_batch_size_does_not_matter(kind: str, models: dict[str, Path], tmp_path: Path) -> None:
    single = compute(part_of(tmp_path / "a"), models[kind], batch_size=1)
    for size in (2, 7, 100):
        other = compute(part_of(tmp_path / str(size)), models[kind], batch_size=size)
        assert np.abs(single.astype(int) - other).max() <= 2  # of 32767 steps: float rounding


def test_mixed_precision_stays_near_and_fine(models: dict[str, Path], tmp_path: Path) -> None:
    exact = compute(part_of(tmp_path / "a"), models["dpt_swin2"])
    mixed = compute(part_of(tmp_path / "b"), models["dpt_swin2"], precision="bf16-mixed")
    assert not np.array_equal(exact, mixed)  # it did compute in bf16
    assert np.abs(inverse_share(exact) - inverse_share(mixed)).mean() < 0.02
    assert depth_fingerprint("midas_small", part_of(tmp_path / "a")) != depth_fingerprint(
        "midas_small", part_of(tmp_path / "b")
    )


def test_mixed_precision_does_not_leave_steps_in_the_map(models: dict[str, Path]) -> None:
    weights = find_weights("midas_small", models["dpt_swin2"])
    ours = load_estimator(weights, PIXELS, device="cpu", precision="bf16-mixed")
    plain = transformers.AutoModelForDepthEstimation.from_pretrained(models["dpt_swin2"]).eval()
    inputs = ours.preprocessing(torch.from_numpy(pictures(1).copy()))
    with torch.inference_mode(), autocast("cpu", "bf16-mixed"):
        values = [
            len(np.unique(net(pixel_values=inputs).predicted_depth.float().numpy()))
            for net in (ours.net, plain)
        ]
    assert values[0] > 4 * values[1]  # bf16 has 8 bits, of which a map uses some


class StoppedError(Exception):
    pass


def test_work_goes_on_where_it_was_interrupted(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = np.array(compute(part_of(tmp_path / "whole"), models["dpt_vit"], batch_size=2))
    part = part_of(tmp_path / "cut")

    def stop(done: int, total: int, text: str) -> None:
        assert total == 7 and text == "depth of toy with midas_small"
        if done == 4:
            raise StoppedError

    with pytest.raises(StoppedError):
        compute(part, models["dpt_vit"], batch_size=2, progress=stop)
    with pytest.raises(MissingDataError, match=COMMAND):
        load_depth("midas_small", part)
    asked: list[int] = []
    run = Estimator.__call__

    def counted(self: Estimator, images: Array) -> Array:
        asked.append(len(images))
        return run(self, images)

    monkeypatch.setattr(Estimator, "__call__", counted)
    told: list[int] = []
    found = compute(
        part, models["dpt_vit"], batch_size=2, progress=lambda done, *_: told.append(done)
    )
    assert asked == [2, 1] and told == [4, 6, 7]
    assert np.array_equal(found, wanted)
    assert sorted(p.name for p in (part.folder / "depth-midas_small").iterdir()) in (
        [".lock", "depth.npy", "manifest.json"],
        ["depth.npy", "manifest.json"],
    )


STUB = """
import numpy as np
from types import SimpleNamespace
import kpbench.data.depth.store as store
from kpbench.data.depth.models import Weights
store.require_transformers = lambda: None
store._machine = lambda device: {"device": device}
store.find_weights = lambda *_: Weights(None, "folder", "stub")
store.load_estimator = lambda *_, **__: lambda images: images.mean(-1)
"""


def test_a_killed_process_loses_one_batch(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", pictures(7))
    code = f"""{STUB}
import os
from pathlib import Path
images = np.load({str(tmp_path / "images.npy")!r}, mmap_mode="r")
part = SimpleNamespace(folder=Path({str(tmp_path / "toy-0")!r}), protocol="toy",
                       open=lambda: SimpleNamespace(images=images, digest="abc"))
stop = END
told = []
def tell(done, *_):
    told.append(done)
    if done == stop:
        os._exit(9)
store.compute_depth("midas_small", part, device="cpu", batch_size=2, progress=tell)
print(told)
"""

    def run(stop: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code.replace("END", stop)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    died = run("4")
    assert died.returncode == 9, died.stderr
    again = run("None")
    assert again.stdout == "[4, 6, 7]\n", again.stderr
    found = load_depth("midas_small", part_of(tmp_path))
    wanted = stretched(pictures(7).mean(-1))
    assert np.abs(inverse_share(found) - wanted).max() <= 1 / NEAR


@pytest.mark.parametrize("change", ["weights", "precision", "images"])
def test_half_finished_maps_of_something_else_are_not_continued(
    change: str, models: dict[str, Path], tmp_path: Path
) -> None:
    def stop(done: int, *_: Any) -> None:
        if done == 3:
            raise StoppedError

    before: dict[str, Any] = {"weights": models["dpt_vit"]}
    part = part_of(tmp_path)
    if change == "weights":
        before["weights"] = models["dpt_swin2"]
    if change == "precision":
        before["precision"] = "bf16-mixed"
    if change == "images":
        part = part_of(tmp_path, digest="of older images")
    with pytest.raises(StoppedError):
        compute(part, progress=stop, **before)
    told: list[int] = []
    compute(part_of(tmp_path), models["dpt_vit"], progress=lambda done, *_: told.append(done))
    assert told == [0, 3, 6, 7]


def test_finished_maps_are_not_computed_again(models: dict[str, Path], tmp_path: Path) -> None:
    part = part_of(tmp_path)
    compute(part, models["dpt_vit"])
    path = part.folder / "depth-midas_small" / "depth.npy"
    before = path.stat().st_mtime_ns
    told: list[int] = []
    compute(part, models["dpt_vit"], progress=lambda done, *_: told.append(done))
    compute(part, None)  # the published weights are not even looked for
    assert told == [7] and path.stat().st_mtime_ns == before
    with pytest.raises(CacheError, match=r"holds depth maps of revision sha256:.*delete"):
        compute(part, models["dpt_swin2"])
    with pytest.raises(CacheError, match="of precision 32-true, not bf16-mixed; delete"):
        compute(part, models["dpt_vit"], precision="bf16-mixed")


def test_the_manifest_tells_what_was_done(models: dict[str, Path], tmp_path: Path) -> None:
    import hashlib

    part = part_of(tmp_path)
    compute(part, models["dpt_vit"])
    folder = part.folder / "depth-midas_small"
    manifest = json.loads((folder / "manifest.json").read_text())
    sha256 = hashlib.sha256((folder / "depth.npy").read_bytes()).hexdigest()
    assert manifest.pop("file")["sha256"] == sha256
    assert manifest.pop("revision").startswith("sha256:")
    assert manifest == {
        "version": 1,
        "packed": "abc",
        "precision": "32-true",
        "source": "folder",
        "device": "cpu",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def test_the_fingerprint_follows_weights_and_images_and_not_the_place(
    models: dict[str, Path], tmp_path: Path
) -> None:
    def fingerprint(name: str, kind: str = "dpt_vit", **more: Any) -> str:
        part = part_of(tmp_path / name, **more)
        compute(part, models[kind])
        return depth_fingerprint("midas_small", part)

    first = fingerprint("a")
    assert first == fingerprint("b")
    assert len({first, fingerprint("c", "dpt_swin2"), fingerprint("d", digest="other")}) == 3


def test_maps_are_read_through_a_memory_map(models: dict[str, Path], tmp_path: Path) -> None:
    part = part_of(tmp_path)
    found = compute(part, models["dpt_vit"])
    assert not found.flags.writeable
    base: Any = found
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


@pytest.mark.parametrize("size", ["same", "other"])
def test_altered_maps_are_found(size: str, models: dict[str, Path], tmp_path: Path) -> None:
    part = part_of(tmp_path)
    compute(part, models["dpt_vit"])
    path = part.folder / "depth-midas_small" / "depth.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data if size == "same" else data[:-2])
    with pytest.raises(CacheError, match=rf"depth.npy .*altered.*delete the folder .*{COMMAND}"):
        load_depth("midas_small", part)
    path.unlink()
    with pytest.raises(CacheError, match="is missing; delete the folder"):
        load_depth("midas_small", part)


def test_copied_maps_are_still_good(models: dict[str, Path], tmp_path: Path) -> None:
    part = part_of(tmp_path)
    found = np.array(compute(part, models["dpt_vit"]))
    path = part.folder / "depth-midas_small" / "depth.npy"
    path.write_bytes(path.read_bytes())  # another time, the same content
    assert np.array_equal(load_depth("midas_small", part), found)


def test_maps_of_other_images_are_not_taken(models: dict[str, Path], tmp_path: Path) -> None:
    compute(part_of(tmp_path), models["dpt_vit"])
    other = part_of(tmp_path, 5, digest="packed anew")
    for ask in (load_depth, depth_fingerprint):
        with pytest.raises(CacheError, match=f"belongs to other images.*{COMMAND}"):
            ask("midas_small", other)
    assert len(compute(other, models["dpt_vit"])) == 5  # and are replaced


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"file": {"bytes": 1}}'])
def test_a_damaged_manifest_is_named(text: str, models: dict[str, Path], tmp_path: Path) -> None:
    part = part_of(tmp_path)
    compute(part, models["dpt_vit"])
    (part.folder / "depth-midas_small" / "manifest.json").write_text(text)
    for ask in (load_depth, depth_fingerprint):
        with pytest.raises(CacheError, match=f"manifest.json is damaged; .*{COMMAND}"):
            ask("midas_small", part)
    assert len(compute(part, models["dpt_vit"])) == 7


def test_depth_that_was_not_computed_is_told_with_the_command(tmp_path: Path) -> None:
    for ask in (load_depth, depth_fingerprint):
        with pytest.raises(MissingDataError, match=f"run: {COMMAND}$"):
            ask("midas_small", part_of(tmp_path))
        with pytest.raises(UnknownNameError, match="did you mean midas_small"):
            ask("midas_smal", part_of(tmp_path))


def test_the_command_is_for_this_recipe_and_these_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = SimpleNamespace(source=Photos())
    monkeypatch.setattr("kpbench.registry.load_protocol", lambda name: installed)
    part = part_of(tmp_path, limit=1500, source=Photos(background="light blue"))
    with pytest.raises(MissingDataError) as told:
        load_depth("midas_small", part)
    wanted = f"run: {COMMAND} --recipe quick --argument 'background=light blue'"
    assert str(told.value).endswith(wanted)


def test_weights_that_are_absent_offline_are_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked: list[dict[str, Any]] = []

    def refuse(name: str, **settings: Any) -> str:
        asked.append(settings)
        raise huggingface_hub.errors.LocalEntryNotFoundError("no network\nnor cache")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    for model, about in MODELS.items():
        with pytest.raises(MissingWeightsError) as told:
            compute_depth(model, part_of(tmp_path), device="cpu")
        for word in (model, "(no network)", f"hf download {about.hub}", "--weights DIR"):
            assert word in str(told.value)
    assert asked[0] == {"local_files_only": True}  # the cache is asked before the network


def test_the_hubs_own_offline_mode_is_told_as_missing_weights(tmp_path: Path) -> None:
    code = """
import sys
from kpbench.data.depth.models import find_weights
from kpbench.errors import MissingWeightsError
try:
    find_weights("midas_swin2_large", None)
except MissingWeightsError as error:
    print(error)
"""
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    assert "hf download Intel/dpt-swinv2-large-384" in done.stdout


def hub_cache(folder: Path, model: Path, hub: str, commit: str) -> None:
    """Lay a model out as the hub's cache does."""
    import shutil

    entry = folder / f"models--{hub.replace('/', '--')}"
    shutil.copytree(model, entry / "snapshots" / commit)
    (entry / "refs").mkdir()
    (entry / "refs" / "main").write_text(commit)


def test_the_hubs_cache_is_used_and_its_commit_noted(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    hub_cache(tmp_path / "hub", models["dpt_vit"], MODELS["midas_small"].hub, commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    found = find_weights("midas_small", None)
    assert (found.source, found.revision) == ("Intel/dpt-swinv2-tiny-256", commit)
    part = part_of(tmp_path)
    maps = compute(part, None)
    manifest = json.loads((part.folder / "depth-midas_small" / "manifest.json").read_text())
    assert manifest["revision"] == commit
    assert np.array_equal(maps, compute(part_of(tmp_path / "own"), models["dpt_vit"]))
    # the same net under another revision is another signal
    assert depth_fingerprint("midas_small", part) != depth_fingerprint(
        "midas_small", part_of(tmp_path / "own")
    )


def damaged(make: Callable[[Path], None], source: Path, folder: Path) -> Weights:
    import shutil

    shutil.copytree(source, folder)
    make(folder)
    return find_weights("midas_small", folder)


def drop_a_layer(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if k != "neck.convs.0.weight"},
        folder / "model.safetensors",
        {"format": "pt"},
    )


def widen_a_layer(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["neck.convs.0.weight"] = torch.zeros(9, 8, 3, 3)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def other_kind(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "bert"}')


FAULTS: dict[str, Callable[[Path], Any]] = {
    "config.json": lambda f: (f / "config.json").unlink(),
    "preprocessor_config.json": lambda f: (f / "preprocessor_config.json").unlink(),
    "model.safetensors": lambda f: (f / "model.safetensors").unlink(),
    "cannot be loaded": lambda f: (f / "model.safetensors").write_bytes(b"half of it"),
    "do not fit its config.json: 1": drop_a_layer,
    "(do not fit its config.json|cannot be loaded)": widen_a_layer,
    "of type 'bert'; depth needs one of: dpt, depth_anything": other_kind,
    "is no configuration": lambda f: (f / "config.json").write_text("[]"),
}


@pytest.mark.parametrize("told", FAULTS)
def test_damaged_weights_are_named(told: str, models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=told):
        load_estimator(
            damaged(FAULTS[told], models["dpt_vit"], tmp_path / "model"), PIXELS, device="cpu"
        )


def test_weights_that_no_layer_uses_may_be_missing(models: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    def drop(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        unused = "neck.fusion_stage.layers.0.residual_layer1"
        kept = {k: v for k, v in weights.items() if not k.startswith(unused)}
        assert len(kept) < len(weights)
        save_file(kept, folder / "model.safetensors", {"format": "pt"})

    whole = load_estimator(find_weights("midas_small", models["dpt_vit"]), PIXELS, device="cpu")
    found = load_estimator(damaged(drop, models["dpt_vit"], tmp_path / "m"), PIXELS, device="cpu")
    assert np.array_equal(whole(pictures(2)), found(pictures(2)))  # proof that they are unused


def test_a_pickled_checkpoint_runs_no_code(models: dict[str, Path], tmp_path: Path) -> None:
    mark = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (Path.touch, (mark,))  # type: ignore[return-value]

    def plant(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        torch.save({"neck.convs.0.weight": Hostile()}, folder / "pytorch_model.bin")

    weights = damaged(plant, models["dpt_vit"], tmp_path / "model")
    with pytest.raises(MissingWeightsError, match="cannot be loaded"):
        load_estimator(weights, PIXELS, device="cpu")
    assert not mark.exists()
    torch.load(weights.folder / "pytorch_model.bin", weights_only=False)
    assert mark.exists()  # it would have run


def test_code_beside_the_weights_is_not_run(models: dict[str, Path], tmp_path: Path) -> None:
    mark = tmp_path / "ran"

    def plant(folder: Path) -> None:
        (folder / "hostile.py").write_text(f"open({str(mark)!r}, 'w')\nclass Net: pass\n")
        config = json.loads((folder / "config.json").read_text())
        config["auto_map"] = {
            "AutoConfig": "hostile.Net",
            "AutoModelForDepthEstimation": "hostile.Net",
        }
        (folder / "config.json").write_text(json.dumps(config))

    weights = damaged(plant, models["dpt_vit"], tmp_path / "model")
    load_estimator(weights, PIXELS, device="cpu")
    assert not mark.exists()


def test_without_transformers_the_pip_command_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingPackageError, match=r'pip install "kpbench\[depth\]"'):
        compute_depth("midas_small", part_of(tmp_path), device="cpu")


def test_values_that_are_not_finite_are_an_error(models: dict[str, Path], tmp_path: Path) -> None:
    def spoil(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / "model.safetensors")
        weights["head.head.4.bias"][:] = float("inf")
        save_file(weights, folder / "model.safetensors", {"format": "pt"})

    weights = damaged(spoil, models["dpt_vit"], tmp_path / "model")
    part = part_of(tmp_path)
    with pytest.raises(ContractError, match="not finite for 3 of 3 images with precision 32-true"):
        compute(part, weights.folder)
    with pytest.raises(MissingDataError):
        load_depth("midas_small", part)


def test_settings_that_cannot_work_are_named(models: dict[str, Path], tmp_path: Path) -> None:
    part, weights = part_of(tmp_path), models["dpt_vit"]
    with pytest.raises(UnknownNameError, match="bf16-mixed"):
        compute(part, weights, precision="bf16")
    with pytest.raises(InvalidInputError, match="16-mixed needs --device cuda"):
        compute(part, weights, precision="16-mixed")
    with pytest.raises(InvalidInputError, match="--batch 0: at least 1"):
        compute(part, weights, batch_size=0)
    with pytest.raises(UnknownNameError, match="no depth model called"):
        compute_depth("zoe", part, device="cpu")
    if not torch.cuda.is_available():
        with pytest.raises(InvalidInputError, match="no CUDA device"):
            compute(part, weights, device="cuda")


def test_two_processes_do_not_write_the_same_maps(models: dict[str, Path], tmp_path: Path) -> None:
    part = part_of(tmp_path)

    def second(done: int, *_: Any) -> None:
        if done == 3:
            code = "from filelock import FileLock; FileLock(r'{}', timeout=0).acquire()"
            lock = part.folder / "depth-midas_small" / ".lock"
            other = subprocess.run([sys.executable, "-c", code.format(lock)], check=False)
            assert other.returncode != 0
            with pytest.raises(StorageError, match="another process is computing depth maps"):
                compute(part, models["dpt_vit"])

    assert len(compute(part, models["dpt_vit"], progress=second)) == 7


def test_a_full_disk_is_a_storage_error_and_work_goes_on(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    part = part_of(tmp_path)
    real, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 6:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"No space left on device.*goes on where it stopped"):
        compute(part, models["dpt_vit"], batch_size=1)
    monkeypatch.undo()
    told: list[int] = []
    compute(part, models["dpt_vit"], batch_size=1, progress=lambda done, *_: told.append(done))
    assert told[0] > 0


def test_a_folder_that_cannot_be_written_is_told(models: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    part = cast(PackedSet, Part(tmp_path / "file" / "toy", pictures(2)))
    with pytest.raises(StorageError, match="choose a folder that can be written"):
        compute_depth(
            "midas_small", part, device="cpu", weights=models["dpt_vit"], progress=no_progress
        )


def test_images_are_not_changed_nor_the_global_random_state(models: dict[str, Path]) -> None:
    images = pictures(2)
    before = images.copy()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    load_estimator(find_weights("midas_small", models["dpt_vit"]), PIXELS, device="cpu")(images)
    assert np.array_equal(images, before)
    assert torch.equal(state, torch.get_rng_state())


def test_the_real_packed_set_has_depth(models: dict[str, Path], tmp_path: Path) -> None:
    from PIL import Image

    root = tmp_path / "photos"
    root.mkdir()
    for i, image in enumerate(pictures(5)):
        Image.fromarray(image).save(root / f"{i}.png")
    part = PackedSet("toy", 1, Photos(), root, "all", None, PIXELS)
    with pytest.raises(MissingDataError, match="kpbench data prepare toy"):
        compute_depth("midas_small", part, device="cpu", weights=models["dpt_swin2"])
    part.make()
    found = compute(part, models["dpt_swin2"])
    packed = part.open()
    assert ImageSet(packed.images, found).signals == ("depth",)
    wanted = stretched(reference(models["dpt_swin2"], packed.images))
    assert np.abs(inverse_share(found) - wanted).mean() < 0.01
    assert len(depth_fingerprint("midas_small", part)) == 64
    assert part.open().digest == packed.digest  # the folder of the packed set is not disturbed
