"""What is exported finds the method's keypoints, in other programs, and tells nothing of us."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import kpbench
from kpbench.api import Array, ExportableMethod, FitContext, ImageSet, Method
from kpbench.cli.main import main
from kpbench.errors import ExportError, MissingPackageError
from kpbench.nn.export import export_onnx, export_torch
from kpbench.nn.image_detector import ImageDetector
from kpbench.nn.images import resized
from kpbench.records.model import load_model
from kpbench.records.record import parse_record
from kpbench.records.ship import export_weights
from kpbench.registry import load_method
from kpbench.running.execute import evaluate
from kpbench.running.plan import Cell
from kpbench.running.resolve import Settings
from kpbench.testing import toy_labelled
from tests.conftest import Install, bright

K = 5
Run = Callable[[Array], tuple[Array, Array]]
Write = Callable[[Method, ImageSet, Path], float]
WRITERS: dict[str, Write] = {"onnx": export_onnx, "torch": export_torch}


def fitted(tmp_path: Path) -> ExportableMethod:
    """Return a detector whose normalisation statistics are not those of a new one."""
    method = load_method("random_detector").configured(
        role="", recipe="smoke", overrides={"detector_width": 6}
    )
    context = FitContext(
        device="cpu", precision="32-true", recipe="smoke", checkpoints=tmp_path / "training"
    )
    method.fit(toy_labelled(4, seed=0).images, n_keypoints=K, seed=3, context=context)
    assert isinstance(method, ExportableMethod)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in method.detector().modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                for statistic in (layer.running_mean, layer.running_var):
                    assert statistic is not None
                    statistic.copy_(0.5 + torch.rand(len(statistic), generator=generator))
    return method


def opened(kind: str, path: Path) -> Run:
    if kind == "onnx":
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda images: tuple(session.run(None, {"images": images}))
    module = torch.export.load(path).module()
    return lambda images: tuple(out.detach().numpy() for out in module(torch.tensor(images)))


@pytest.fixture(scope="module", params=["onnx", "torch"])
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ExportableMethod, str, Path]:
    folder = tmp_path_factory.mktemp("exported")
    method, path = fitted(folder), folder / "file" / f"detector.{request.param}"
    difference = WRITERS[request.param](method, toy_labelled(6, seed=1).images, path)
    assert 0 <= difference <= 1e-4
    assert list(path.parent.iterdir()) == [path], "one file, with all weights"
    return method, request.param, path


@pytest.mark.parametrize("n", [1, 2, 7])
def test_any_batch_gives_the_keypoints_of_the_method(
    exported: tuple[ExportableMethod, str, Path], n: int
) -> None:
    method, kind, path = exported
    images = toy_labelled(n, seed=2).images
    own = method.predict(images).points
    assert abs(own[..., 0] - own[..., 1]).max() > 1e-2, "a swap of x and y would not be noticed"
    keypoints, heatmaps = opened(kind, path)(np.array(images.images))
    assert keypoints.shape == (n, K, 2)
    assert keypoints.dtype == np.float32
    np.testing.assert_allclose(keypoints, own, atol=1e-4)
    assert heatmaps.shape == (n, K, 8, 8)
    centres = (np.arange(8) + 0.5) / 8
    means = np.stack([heatmaps.sum(2) @ centres, heatmaps.sum(3) @ centres], axis=-1)
    np.testing.assert_allclose(means, own, atol=1e-4)


def test_an_image_that_is_not_square_is_squashed_first(
    exported: tuple[ExportableMethod, str, Path],
) -> None:
    method, kind, path = exported
    wide = np.ascontiguousarray(toy_labelled(3, seed=4).images.images[:, 4:24].repeat(3, axis=2))
    assert wide.shape == (3, 20, 96, 3)
    keypoints, _ = opened(kind, path)(resized(wide, method.image_size).numpy())
    np.testing.assert_allclose(keypoints, method.predict(ImageSet(wide)).points, atol=1e-4)


def test_another_size_is_refused_by_the_file(exported: tuple[ExportableMethod, str, Path]) -> None:
    _, kind, path = exported
    with pytest.raises(Exception, match=r"(?i)dimension|shape|guard|expected"):
        opened(kind, path)(np.zeros((1, 32, 48, 3), np.uint8))


def test_the_file_names_no_source_and_no_machine(
    exported: tuple[ExportableMethod, str, Path],
) -> None:
    _, kind, path = exported
    data = path.read_bytes()
    if kind == "torch":
        with zipfile.ZipFile(path) as archive:
            data = b"".join(archive.read(name) for name in archive.namelist())
    folders = (Path(kpbench.__file__).parents[1], Path(torch.__file__).parents[1], Path.home())
    for mark in (*map(str, folders), ".py", "forward("):
        assert mark.encode() not in data, mark
    assert b"random_detector" in data, "it does say what it is"


def test_the_onnx_file_is_valid_and_says_what_goes_in_and_out(
    exported: tuple[ExportableMethod, str, Path],
) -> None:
    method, kind, path = exported
    side = method.image_size
    goes_in = f"images: uint8 (N, {side}, {side}, 3), RGB"
    comes_out = "keypoints: float32 (N, K, 2), (x, y) in [0, 1] of the image; "
    comes_out += "heatmaps: float32 (N, K, n, n), each summing to 1"
    if kind != "onnx":
        module = torch.export.load(path, extra_files=(told := {"kpbench.json": ""}))
        about = json.loads(told["kpbench.json"])
        assert about["method"] == "random_detector"
        assert (about["input"], about["output"]) == (goes_in, comes_out)
        assert module is not None
        return
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["images"]
    assert [value.name for value in model.graph.output] == ["keypoints", "heatmaps"]
    noted = {entry.key: entry.value for entry in model.metadata_props}
    assert (noted["method"], noted["input"], noted["output"]) == (method.name, goes_in, comes_out)
    assert json.loads(noted["params"]) == dict(method.params())
    assert model.doc_string == f"{goes_in}. {comes_out}."


def test_the_same_method_gives_the_same_bytes(
    exported: tuple[ExportableMethod, str, Path], tmp_path: Path
) -> None:
    method, kind, path = exported
    WRITERS[kind](method, toy_labelled(6, seed=1).images, tmp_path / "other")
    assert (tmp_path / "other").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", list(WRITERS))
def test_what_disagrees_is_not_written(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = fitted(tmp_path)
    right = ImageDetector.forward

    def swapped(self: Any, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        points, heatmaps = right(self, images)
        return points.flip(-1), heatmaps

    monkeypatch.setattr(ImageDetector, "forward", swapped)
    with pytest.raises(ExportError, match="finds other keypoints"):
        WRITERS[kind](method, toy_labelled(6, seed=1).images, tmp_path / "out" / "file")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", ["heatmaps", "larger batches"])
def test_what_is_wrong_in_one_output_or_batch_is_not_written(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = fitted(tmp_path)
    right = ImageDetector.forward

    def changed(self: Any, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        points, heatmaps = right(self, images)
        if not torch.compiler.is_exporting():  # the method itself is right
            return points, heatmaps
        if wrong == "heatmaps":
            return points, heatmaps.flip(-1)
        later = torch.ones_like(points).cumsum(0) - 1  # the first image's are right
        return points + 0.01 * later, heatmaps

    monkeypatch.setattr(ImageDetector, "forward", changed)
    with pytest.raises(ExportError, match="finds other keypoints"):
        export_torch(method, toy_labelled(6, seed=1).images, tmp_path / "out" / "file")
    assert not (tmp_path / "out").exists()


def test_a_method_without_a_network_cannot_be_exported(tmp_path: Path) -> None:
    for write in WRITERS.values():
        with pytest.raises(ExportError, match="mean_shape has no network"):
            write(load_method("mean_shape"), toy_labelled(5).images, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_cannot_be_traced_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = fitted(tmp_path)

    def untraceable(self: Any, images: torch.Tensor) -> Any:
        return images if images.sum() > 0 else None

    monkeypatch.setattr(ImageDetector, "forward", untraceable)
    with pytest.raises(ExportError, match="random_detector cannot be exported"):
        export_torch(method, toy_labelled(5).images, tmp_path / "x")


def test_missing_packages_come_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if "onnx" in name else real(name)
    )
    with pytest.raises(MissingPackageError, match=r'onnxruntime.*pip install "kpbench\[onnx\]"'):
        export_onnx(fitted(tmp_path), toy_labelled(5).images, tmp_path / "x.onnx")


def test_the_command_exports_a_trained_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    method = fitted(tmp_path)
    method.save(tmp_path / "model")
    words = ["export", "random_detector", "--model", str(tmp_path / "model")]
    assert main([*words, "--torch", str(tmp_path / "a.pt2")]) == 0
    assert "a.pt2: keypoints as random_detector's own" in capsys.readouterr().out
    images = toy_labelled(3, seed=8).images
    keypoints, _ = opened("torch", tmp_path / "a.pt2")(np.array(images.images))
    np.testing.assert_allclose(keypoints, method.predict(images).points, atol=1e-4)


def test_the_command_exports_the_run_that_is_asked_for(
    toy_discs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kpbench.cli.commands.export.CHECKED_ON", toy_discs)  # nothing is rendered
    results, shelf = tmp_path / "results", tmp_path / "shelf"
    cells = [Cell("random_detector", toy_discs, seed) for seed in (1, 2)]
    lower, higher = (found.record for found in evaluate(cells, Settings(results, "smoke")))
    assert lower is not None and higher is not None
    images = toy_labelled(3, seed=8).images
    words = ["export", "random_detector", "-p", toy_discs, "--results", str(results)]
    words += ["--weights", str(shelf)]
    place = shelf / "random_detector" / toy_discs / "record.json"
    assert main(words) == 0
    assert parse_record(place).identity == lower.identity
    words += ["--seed", "2", "--recipe", "smoke"]
    assert main([*words, "--torch", str(tmp_path / "a.pt2")]) == 0
    assert parse_record(place).identity == higher.identity
    model = load_model(higher.identity.file(results, "model"))
    keypoints, _ = opened("torch", tmp_path / "a.pt2")(np.array(images.images))
    np.testing.assert_allclose(keypoints, model.predict(images).points, atol=1e-4)
    other = load_model(lower.identity.file(results, "model")).predict(images).points
    assert abs(keypoints - other).max() > 1e-3


def test_what_was_not_rounded_is_told(toy_discs: str, install: Install, tmp_path: Path) -> None:
    further = '"plain": np.ones(3, "f"), "tiny": np.array([1, 2e-6], "f")'
    source = bright("precise").replace("np.array(self._k)}", f"np.array(self._k), {further}}}")
    install("methods", {"precise": source})
    [outcome] = evaluate([Cell("precise", toy_discs, 0)], Settings(tmp_path, "smoke"))
    assert outcome.record is not None
    made = export_weights(tmp_path, outcome.record, tmp_path / "shelf")
    assert made.kept == ("tiny",)
    assert made.bytes == 8 + 3 * 2 + 2 * 4
    assert load_model(tmp_path / "shelf" / "precise" / toy_discs).name == "precise"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["autolink"], "say what to write"),
        (["autolink", "--onnx", "x", "--model", "m"], "holds a trained random_detector"),
        (["autolink", "--onnx", "x", "--model", "nowhere"], "holds no trained model"),
        (["mean_shape", "--onnx", "x"], "no weights of mean_shape"),
        (["autolnk", "--onnx", "x"], "did you mean autolink"),
        (["autolink", "--weights", "x"], "name its folder by --results"),
        (["autolink", "--weights", "x", "--results", "r"], "no finished run of autolink"),
        (["autolink", "--weights", "x", "--model", "m"], "name its folder by --results"),
        (
            ["autolink", "--weights", "x", "--results", "r", "--model", "m"],
            "leave out --results and --protocol",
        ),
        (["autolink", "--onnx", "x", "--model", "m", "-p", "taichi"], "and --protocol"),
        (["autolink", "--onnx", "x", "--seed", "7"], "--seed and --recipe choose a run"),
        (["autolink", "--torch", "x", "--recipe", "paper"], "--seed and --recipe choose a run"),
        (["autolink", "--onnx", "x", "--results", "r", "--recipe", "papr"], "did you mean paper"),
        (
            ["autolink", "--onnx", "x", "--results", "r", "--seed", "7", "--recipe", "paper"],
            "--seeds 7 --recipe paper",
        ),
    ],
)
def test_wrong_usage_is_explained(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    fitted(tmp_path).save(tmp_path / "m")
    assert main(["export", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
