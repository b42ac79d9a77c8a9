"""The comparison with the public AutoLink code: what it converts, refuses, times and writes.

With KPBENCH_AUTOLINK naming a checkout, the same weights must give the same results on both sides.
"""

from __future__ import annotations

import doctest
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import kpbench.nn
from benchmarks import against_autolink, edge_map, rendering
from benchmarks.autolink import agreement as agreeing
from benchmarks.autolink import bench as benching
from benchmarks.autolink import inference, training, weights
from benchmarks.autolink import report as reporting
from benchmarks.autolink import run as comparing
from benchmarks.autolink.agreement import Agreement, DisagreementError, relative, require
from benchmarks.autolink.bench import Bench
from benchmarks.autolink.checkout import FILES, STUBBED, find_checkout, imported
from benchmarks.autolink.inference import packed
from benchmarks.autolink.report import Convolutions, Report, Row
from benchmarks.autolink.tree import write_tree
from benchmarks.autolink.weights import (
    converted,
    points_from_official,
    points_to_official,
    thickness_from_official,
)
from kpbench.errors import InvalidInputError, KpbenchError, MissingDataError
from kpbench.nn import edge_ends
from kpbench.nn.fast import cpu_threads
from kpbench.scoring.named import get_evaluator
from kpbench.speed.record import Peak, Spread
from kpbench.speed.timing import Timing, random_weights_where_missing
from kpbench.speed.training import Case
from tests.conftest import Install
from tests.nn import reference
from tests.nn.reference import edge_map_reference
from tests.speed.test_measure import CASE, FORWARD, convolves

ROOT = Path(__file__).resolve().parents[2]
COMMAND = CliRunner()

# Coordinates and weights


@pytest.mark.parametrize("module", [agreeing, reporting, weights])
def test_examples_run(module: Any) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("n", [2, 5, 32])
def test_a_pixel_lies_at_its_centre_in_both_conventions(n: int) -> None:
    row, column = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    corners = torch.linspace(-1, 1, n, dtype=torch.float64)
    official = torch.stack([corners[row], corners[column]], -1).view(1, -1, 2)
    ours = torch.stack([(column + 0.5) / n, (row + 0.5) / n], -1).view(1, -1, 2).double()
    assert torch.allclose(points_from_official(official, n), ours, atol=1e-7)
    assert torch.allclose(points_to_official(ours, n), official, atol=1e-6)


def official_edge_map(keypoints: Any, weights: Any, n: int, thickness: float) -> Any:
    """Draw the official way, from its paper: points (y, x), pixel i at -1 + 2 i / (n - 1)."""
    at = np.linspace(-1, 1, n)
    pixels = np.stack(np.meshgrid(at, at, indexing="ij"), -1)
    k, drawn, edge = len(keypoints), np.zeros((n, n)), count()
    for i in range(k):
        for j in range(i + 1, k):
            a, b = keypoints[i], keypoints[j]
            t = np.clip((pixels - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
            squared = ((pixels - a - t[..., None] * (b - a)) ** 2).sum(-1)
            drawn = np.maximum(drawn, weights[next(edge)] * np.exp(-squared / thickness))
    return drawn


@pytest.mark.parametrize("thickness", [5e-4, 1e-2])
def test_converted_points_and_thickness_draw_the_official_edge_map(thickness: float) -> None:
    rng, n = np.random.default_rng(1), 24
    keypoints, weights = rng.uniform(-0.9, 0.9, (5, 2)), rng.random(10)
    points = points_from_official(torch.from_numpy(keypoints)[None], n)
    thin = thickness_from_official(thickness, n)
    drawn = edge_map_reference(points, torch.from_numpy(weights), (n, n), thin)[0, 0]
    assert np.abs(drawn.numpy() - official_edge_map(keypoints, weights, n, thickness)).max() < 1e-12


def test_edge_weights_keep_their_order_and_frozen_parts_are_left_out() -> None:
    k = 4
    scalar = torch.arange(k * k).reshape(k, k).float()
    official = {
        "decoder.skeleton_scalar": scalar,
        "decoder.alpha": torch.tensor(3.0),
        "encoder.detector.coord": torch.zeros(1),
        "vgg_loss.blocks.0.0.weight": torch.zeros(1),
    }
    found = converted(official)
    assert set(found) == {"edge_logits", "alpha"}
    first, second = edge_ends(k)
    assert found["edge_logits"].tolist() == (k * first + second).tolist()
    assert found["alpha"].tolist() == [3.0]


@pytest.mark.parametrize(
    ("official", "ours"),
    [
        ("encoder.detector.conv.2.net.4.bias", "detector.down.2.main.4.bias"),
        ("encoder.detector.conv.3.conv_res.2.weight", "detector.down.3.shortcut.2.weight"),
        ("encoder.detector.conv.5.net.1.weight", "detector.up.1.1.weight"),
        ("encoder.detector.conv.6.bias", "detector.head.bias"),
        ("decoder.down0.0.weight", "decoder.stem.0.weight"),
        ("decoder.down4.net.3.weight", "decoder.down.3.3.weight"),
        ("decoder.up1.net.5.running_var", "decoder.up.0.5.running_var"),
        ("decoder.conv.weight", "decoder.head.weight"),
    ],
)
def test_official_parameters_have_our_names(official: str, ours: str) -> None:
    assert list(converted({official: torch.zeros(1)})) == [ours]


def test_an_unknown_parameter_is_not_passed_over() -> None:
    with pytest.raises(KeyError, match=r"encoder\.attention\.weight"):
        converted({"encoder.attention.weight": torch.zeros(1)})


# Checkouts

MODEL = """
import importlib
import pytorch_lightning as pl
import wandb

class Model(pl.LightningModule):
    def __init__(self, **kwargs):
        super().__init__()
        self.save_hyperparameters()
        self.k = self.hparams.n_parts
"""
DATA = """
import pytorch_lightning as pl

class DataModule(pl.LightningDataModule):
    def __init__(self, dataset, data_root, image_size, batch_size, num_workers=6):
        self.args = dataset, data_root, image_size, batch_size, num_workers
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the files of a checkout, and just enough in them."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "models" / "model.py").write_text(MODEL)
    (tmp_path / "datasets" / "base_dataset.py").write_text(DATA)
    return tmp_path


def test_an_absent_checkout_names_the_command_that_gets_it(tmp_path: Path) -> None:
    with pytest.raises(
        MissingDataError, match=r"git clone https://github\.com/xingzhehe/AutoLink-"
    ):
        find_checkout(tmp_path / "nowhere")


def test_another_folder_is_told_from_a_checkout(checkout: Path) -> None:
    (checkout / "utils_" / "loss.py").unlink()
    with pytest.raises(InvalidInputError, match=r"has no utils_/loss\.py; .*git clone"):
        find_checkout(checkout)


def test_an_archive_is_known_by_the_digest_of_its_files(checkout: Path) -> None:
    before = find_checkout(checkout)
    (checkout / "README.md").write_text("another")
    assert find_checkout(checkout) == before
    assert before.commit is None
    (checkout / "models" / "encoder.py").write_text("# changed")
    assert find_checkout(checkout).digest != before.digest


def test_a_clone_tells_its_commit(checkout: Path) -> None:
    def git(*words: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ["git", *identity, *words], cwd=checkout, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "all")
    assert find_checkout(checkout).commit == git("rev-parse", "HEAD")


def test_the_code_runs_without_its_packages_and_leaves_nothing_behind(checkout: Path) -> None:
    marker = SimpleNamespace(name="of the user")
    path, modules = list(sys.path), {name: sys.modules.get(name) for name in STUBBED}
    sys.modules["datasets"] = marker  # type: ignore[assignment]
    try:
        with imported(find_checkout(checkout)) as official:
            model = official.model(n_keypoints=7, thickness=1e-3, batch_size=2)
            data = official.data(checkout, batch_size=2, workers=3)
        assert sys.modules["datasets"] is marker  # type: ignore[comparison-overlap]
    finally:
        del sys.modules["datasets"]
    assert (model.k, model.hparams.missing, model.hparams.block) == (7, 0.8, 16)
    assert data.args == ("h36m", str(checkout), 128, 2, 3)
    assert sys.path == path
    assert {name: sys.modules.get(name) for name in STUBBED} == modules
    assert "models" not in sys.modules


@pytest.mark.parametrize("source", ["raise OSError('no such thing')", "Network = 1", "def ("])
def test_other_code_is_refused_by_name(checkout: Path, source: str) -> None:
    (checkout / "models" / "model.py").write_text(source)
    with (
        pytest.raises(InvalidInputError, match=r"cannot be used .*written for commit 3fbde11"),
        imported(find_checkout(checkout)),
    ):
        pass


def test_a_model_that_cannot_be_built_is_refused(checkout: Path) -> None:
    (checkout / "models" / "model.py").write_text(MODEL.replace("n_parts", "n_points"))
    with imported(find_checkout(checkout)) as official:
        with pytest.raises(InvalidInputError, match="KeyError: 'n_points'"):
            official.model(n_keypoints=7, thickness=1e-3, batch_size=2)


# Agreement


def test_a_difference_is_relative_and_never_hidden() -> None:
    assert relative(torch.tensor([1.0, -4.0]), torch.tensor([1.0, -5.0])) == pytest.approx(0.2)
    assert relative(torch.zeros(2), torch.zeros(3)) == math.inf
    assert math.isnan(relative(torch.tensor([math.nan]), torch.tensor([1.0])))


def test_what_disagrees_is_named() -> None:
    good, bad = Agreement("edge map", 1e-6, 1e-4), Agreement("loss", math.nan, 1e-4)
    require([good])
    with pytest.raises(DisagreementError, match="disagree: loss by nan") as caught:
        require([good, bad])
    assert "edge map" not in str(caught.value)


def test_a_gradient_that_one_side_lacks_is_a_disagreement() -> None:
    def parameter(gradient: float | None) -> Any:
        return SimpleNamespace(grad=None if gradient is None else torch.tensor([gradient]))

    official = {"a": torch.tensor([2.0]), "b": torch.tensor([1.0])}
    same = agreeing._gradients({"a": parameter(2.0), "b": parameter(1.0)}, official)
    assert same.difference == 0
    off = agreeing._gradients({"a": parameter(2.0), "b": parameter(1.5)}, official)
    assert (off.difference, off.note) == (0.25, "largest at b")
    for ours in (
        {"a": parameter(2.0), "b": parameter(None)},
        {"a": parameter(2.0), "b": parameter(1.0), "c": parameter(1.0)},
    ):
        assert agreeing._gradients(ours, official).difference == math.inf


# What is timed


def test_official_steps_are_timed_in_windows_after_the_warm_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps: list[Any] = []
    monkeypatch.setattr("time.perf_counter", lambda: 0.5 * len(steps))  # half a second a step
    plan = training.Plan(against_autolink.amount_of("cpu", None).plan.case, 2, 3, 4, 1)
    times = training._official(plan, SimpleNamespace(step=steps.append), count())  # type: ignore[arg-type]
    assert times == [500.0] * 4
    assert steps == list(range(2 + 3 * 4))


def took(ms: float) -> Timing:
    return Timing(ms, ms, ms, 5)


def test_a_ratio_is_official_over_ours() -> None:
    step = benching._step_row("s", 4, training.Steps(took(80.0), took(20.0), 1), 3.0)
    assert step.official is not None
    assert (step.official.median_ms, step.ours.median_ms, step.ratio) == (80, 20, 4)
    row = benching._row("x", 4, {"official": np.array([80.0]), "ours": np.array([20.0])}, 3.0)
    assert row.official is not None
    assert (row.official.median_ms, row.ours.median_ms, row.ratio) == (80, 20, 4)
    assert row.images_per_s == {"official": 50, "kpbench": 200}
    assert (row.images, row.target, step.images, step.target) == (4, 3, 4, 3)
    assert row.summary == "x: official 80 ms, kpbench 20 ms, 4.0 x"


def test_without_the_official_code_nothing_is_said_of_it() -> None:
    step = benching._step_row("s", 4, training.Steps(None, took(20.0), 1), 3.0)
    row = benching._row("s", 4, {"ours": np.array([20.0])}, 3.0)
    for alone in (step, replace(row, ours=took(20.0))):
        assert alone == Row("s", 4, None, took(20.0), None, 3.0)
    assert row.images_per_s == {"official": None, "kpbench": 200}
    assert row.summary == "s: kpbench 20 ms; the official code is not at hand"
    found = replace(report("cpu"), rows=[row])
    line = next(line for line in found.markdown().splitlines() if line.startswith("| s "))
    assert [cell.strip() for cell in line.strip("|").split("|")][4:6] == ["not measured"] * 2
    assert found.as_dict()["rows"][0]["official"] is None


PEAK = Peak(
    use="training",
    arithmetic="bfloat16",
    threads=1,
    tflops=2.56,
    time=Spread(median_ms=1, p05_ms=1, p95_ms=1, repeats=1),
    datasheet_tflops=5.12,
)


def test_convolutions_of_a_step_as_shares_of_the_peak() -> None:
    found = comparing._convolutions("x", training.Flop(3e9, 2e9), 64, 100.0, PEAK)
    assert (found.gflop, found.gflop_in_all, found.tflops) == pytest.approx((2.0, 3.0, 1.28))
    assert (found.of_measured, found.of_datasheet) == pytest.approx((0.5, 0.25))
    unprinted = PEAK.model_copy(update={"datasheet_tflops": None})
    alike = comparing._convolutions("x", training.Flop(3e9, 2e9), 64, 100.0, unprinted)
    assert (alike.of_measured, alike.of_datasheet) == (found.of_measured, None)


def test_each_side_is_counted_and_divided_by_its_own_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparing, "our_flop", lambda _: training.Flop(9e9, 4e9))
    monkeypatch.setattr(comparing, "official_flop", lambda model: training.Flop(model, 6e9))
    bench: Any = SimpleNamespace(
        plan=SimpleNamespace(case=SimpleNamespace(batch=64)),
        model=lambda: SimpleNamespace(cpu=lambda: 7e9),
    )
    steps = training.Steps(took(200.0), took(100.0), 1)
    found = comparing._shares(bench, steps, PEAK)
    assert [c.side for c in found] == ["official", "kpbench, as computed"]
    assert [c.gflop_in_all for c in found] == [7, 9]
    assert [c.tflops for c in found] == pytest.approx([1.92, 2.56])
    [alone] = comparing._shares(bench, replace(steps, official=None), PEAK)
    assert alone == found[1]


def test_operations_are_counted_an_image() -> None:
    conv, weights = torch.nn.Conv2d(3, 5, 3, padding=1), torch.zeros(3, 4)

    def step() -> None:
        conv(torch.zeros(2, 3, 32, 32))
        torch.zeros(2, 3) @ weights

    assert training._counted(step) == training.Flop(FORWARD + 24, FORWARD)


def test_a_whole_step_is_counted_on_both_sides(install: Install) -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 5, 3, padding=1)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters())

        def training_step(self, batch: Any, index: int) -> Any:
            return self.conv(batch["img"]).mean()

    whole = 2 * FORWARD * (128 // 32) ** 2  # forward, and backward for the weights
    assert training.official_flop(Model()) == training.Flop(whole, whole)
    convolves(install)
    assert training.our_flop(CASE) == training.Flop(2 * FORWARD, 2 * FORWARD)


def test_official_keypoints_are_scored_at_their_place_in_the_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scored: list[Any] = []
    scale = get_evaluator(inference.EVALUATOR).scale

    def evaluate(evaluator: Any, *pair: Any) -> Any:
        scored.extend(pair)
        return SimpleNamespace(notes=(), value=3.0 * scale)

    monkeypatch.setattr(inference, "evaluate", evaluate)
    corners = torch.tensor([[[-1.0, 1.0], [1.0, 0.5]]])  # (y, x) in [-1, 1]
    landmarks = torch.tensor([[[0.25, 0.75]]])  # (y, x) in [0, 1]
    model = SimpleNamespace(
        eval=lambda: None,
        test_step=lambda batch, _: {"det_keypoints": batch["img"], "keypoints": landmarks},
        test_func=lambda doubled: {"val_loss": doubled[0][0]["keypoints"].sum() + 1},
    )
    loaders = [[{"img": corners}], [{"img": corners.flip(1)}]]
    part = SimpleNamespace(landmarks=np.array([[[0.75, 0.25]]]))
    splits: Any = SimpleNamespace(regression=part, test=part)
    found = inference.score_agreement(model, loaders, "cpu", splits)
    train, test = scored
    assert train.keypoints.tolist() == [[[1.0, 0.0], [0.75, 1.0]]]
    assert test.keypoints.tolist() == [[[0.75, 1.0], [1.0, 0.0]]]
    assert train.landmarks.tolist() == [[[0.75, 0.25]]]
    assert found.difference == 0.5


def test_edges_have_the_weights_that_the_official_decoder_draws_with() -> None:
    restored: dict[str, Any] = {}
    moved: list[str] = []
    scalar = torch.arange(9).reshape(3, 3) / 512
    weights = {
        "decoder.skeleton_scalar": scalar,
        "encoder.detector.conv.6.bias": torch.tensor([1.5]),
        "decoder.conv.weight": torch.zeros(1),
    }
    official = SimpleNamespace(
        state_dict=lambda: weights, hparams=SimpleNamespace(sklr=512, n_parts=3)
    )
    method: Any = SimpleNamespace(restore=restored.update, to=moved.append)
    assert inference.same_weights(official, method, "cpu") is method
    assert sorted(restored) == ["edge_weights", "head.bias"]
    assert restored["head.bias"].tolist() == [1.5]
    softplus = [math.log1p(math.exp(x)) for x in (1, 2, 5)]  # above the diagonal, row by row
    assert restored["edge_weights"].tolist() == pytest.approx(softplus)
    assert moved == ["cpu"]


class Grows:
    """A bench whose parts end at once; the last of its timings fails."""

    plan = None

    def say(self, text: str) -> None: ...

    def agreement(self) -> list[Agreement]:
        return [Agreement("edge map", 1e-6, 1e-4)]

    def edge_map(self) -> Row:
        return self.row("edge map")

    def detector(self) -> Row:
        return self.row("detector")

    def step(self) -> tuple[Row, training.Steps]:
        return self.row("step"), training.Steps(took(80.0), took(20.0), 7)

    def loop_from_disk(self) -> Row:
        return self.row("loop from disk")

    def loop_from_memory(self) -> Row:
        return self.row("loop from memory")

    def step_from_disk(self) -> Row:
        raise KpbenchError("the disk is gone")

    @staticmethod
    def row(what: str) -> Row:
        return Row(what, 4, took(80.0), took(20.0), 4.0)


def test_the_report_is_kept_after_each_row() -> None:
    bench: Any = Grows()
    kept: list[Report] = []
    with pytest.raises(KpbenchError, match="the disk is gone"):
        for grown in comparing.measured(bench, Report({"device": "cpu"}, (), ())):
            kept.append(grown)
    wanted = ["edge map", "detector", "step", "loop from disk", "loop from memory"]
    assert [len(found.agreement) for found in kept] == [1] * 6
    assert [[row.what for row in found.rows] for found in kept] == [
        wanted[:n] for n in range(len(wanted) + 1)
    ]
    last = json.loads(json.dumps(kept[-1].as_dict(), allow_nan=False))
    assert (last["setting"]["training threads on the CPU"], last["convolutions"]) == (7, [])
    assert "| step" in kept[-1].markdown()


def test_both_sides_take_turns_with_the_threads_of_the_published_batch() -> None:
    case = Case("autolink", "smoke", pixels=64, overrides={"image_size": 64})
    assert cpu_threads(case.batch, 64 * 64) == 1 < cpu_threads(64, 64 * 64)
    threads: list[int] = []
    official: Any = SimpleNamespace(step=lambda _: threads.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    plan = training.Plan(case, warmup=1, window=1, windows=2, rounds=2)
    batches: Any = count
    found = training.compare_steps(plan, official, batches, case.training_set())
    assert threads == [found.threads] * 6
    assert found.threads == cpu_threads(64, 64 * 64)
    assert found.official is not None
    assert (found.official.repeats, found.ours.repeats) == (4, 2)
    assert found.ours.median_ms > 0
    assert torch.get_num_threads() == before


def test_the_published_recipe_is_what_is_timed() -> None:
    case = against_autolink.amount_of("cpu", None).plan.case
    params = case.params
    assert case.pixels == params["image_size"] == 128
    assert (params["batch_size"], params["backbone"], params["steps"]) == (4, "vgg16", 20_001)
    assert against_autolink.amount_of("cpu", 3).plan.case.batch == 3


def test_both_sides_read_the_same_frames(tmp_path: Path) -> None:
    write_tree(tmp_path / "tree", copies=3)
    with packed(tmp_path / "tree", tmp_path / "cache") as protocol:
        splits = protocol.splits("paper")
        # as the official loaders choose: by prefix, and WalkingDog has one frame
        assert (len(splits.regression), len(splits.test)) == (3 * 97, 3 * 24)
        landmarks = np.asarray(splits.test.landmarks).reshape(72, -1)
        assert len(np.unique(landmarks, axis=0)) == 24
    assert "KPBENCH_DATA_HUMAN36M" not in os.environ


def report(device: str) -> Report:
    slow, fast = Timing(80.0, 79.0, 90.0, 5), Timing(20.0, 19.0, 21.0, 5)
    return Report(
        {"device": device, "random weights": ["vgg16"], "official code": {"commit": "abc"}},
        ("Precision differs.",),
        [Agreement("edge map", 1e-6, 1e-4)],
        [Row("training step", 64, slow, fast, 4.0, 4.0)],
        [Convolutions("kpbench", 230.0, 237.0, 400.0, 0.51, None)],
        {"tflops": 790.0},
    )


def test_the_table_says_what_was_not_measured() -> None:
    lines = report("cpu").markdown().splitlines()
    step = next(line for line in lines if line.startswith("| training step"))
    cells = [cell.strip() for cell in step.strip("|").split("|")]
    assert cells[2].startswith("80 ms (79 ms to 90 ms), 800 images/s")
    assert cells[4:] == ["4.0 x", "not measured", "4 x"]
    on_gpu = report("cuda").markdown()
    assert "| not measured | 4.0 x" in " ".join(on_gpu.split())
    assert "- random weights: vgg16" in on_gpu
    assert "- official code: commit abc" in on_gpu


def test_the_figures_are_strict_json() -> None:
    undefined = Agreement("loss", math.nan, 1e-4)
    text = json.dumps(replace(report("cuda"), agreement=[undefined]).as_dict(), allow_nan=False)
    found = json.loads(text)
    assert found["agreement"][0]["difference"] is None
    assert found["rows"][0]["official"]["p95_ms"] == 90.0
    assert found["rows"][0]["device"] == "cuda"


# Commands


def test_missing_checkout_and_missing_gpu_end_with_two(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = COMMAND.invoke(against_autolink.app, [str(checkout / "nowhere")])
    assert absent.exit_code == 2
    assert "git clone" in absent.output
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for app, words in (
        (against_autolink.app, [str(checkout), "--device", "cuda"]),
        (edge_map.app, ["--device", "cuda"]),
        (rendering.app, ["--device", "cuda"]),
    ):
        found = COMMAND.invoke(app, words)
        assert found.exit_code == 2
        assert "no CUDA device works here" in found.output


def test_figures_are_kept_and_disagreement_ends_with_one(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = checkout / "out.json"
    words = [str(checkout), "--device", "cpu", "--json", str(out)]
    off = replace(report("cpu"), agreement=[Agreement("edge map", 0.5, 1e-4)])
    for code, measured in ((0, report("cpu")), (1, off)):

        def compare(_: Any, __: Any, say: Any, keep: Any, found: Report = measured) -> Report:
            keep(found)
            return found

        monkeypatch.setattr(comparing, "compare", compare)
        ended = COMMAND.invoke(against_autolink.app, words)
        assert ended.exit_code == code
        assert ("disagree: edge map by 0.5" in ended.output) == bool(code)
        assert "| training step" in ended.output
        difference = json.loads(out.read_text())["agreement"][0]["difference"]
        assert difference == measured.agreement[0].difference


def test_figures_are_on_disk_before_the_comparison_ends(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = checkout / "out.json"

    def compare(_: Any, __: Any, say: Any, keep: Any) -> Report:
        keep(report("cpu"))
        assert json.loads(out.read_text())["rows"][0]["what"] == "training step"
        raise KpbenchError("time is over")

    monkeypatch.setattr(comparing, "compare", compare)
    ended = COMMAND.invoke(
        against_autolink.app, [str(checkout), "--device", "cpu", "--json", str(out)]
    )
    assert ended.exit_code == 2
    assert "time is over" in ended.output
    assert out.is_file()


def test_the_script_runs_by_its_path_from_anywhere(tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "against_autolink.py"
    done = subprocess.run(
        [sys.executable, str(script), "nowhere"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "git clone" in done.stderr


def test_the_edge_map_is_compared_with_its_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[int]] = {"edge_map": [], "edge_map_reference": []}
    gradients: list[Any] = []
    differentiate = torch.autograd.grad

    def noted(module: Any, name: str) -> Any:
        draw = getattr(module, name)

        def drawn(points: Any, *arguments: Any) -> Any:
            seen[name].append(len(points))
            return draw(points, *arguments)

        return drawn

    def rounds(calls: Any, device: str, **_: Any) -> Any:
        for call in calls.values():
            call()
        return {"formula": np.array([30.0]), "kpbench": np.array([10.0])}

    def grad(*arguments: Any) -> Any:
        gradients.append(len(arguments[2]))
        return differentiate(*arguments)

    for module, name in ((kpbench.nn, "edge_map"), (reference, "edge_map_reference")):
        monkeypatch.setattr(module, name, noted(module, name))
    monkeypatch.setattr("kpbench.speed.timing.rounds", rounds)
    monkeypatch.setattr(torch.autograd, "grad", grad)
    monkeypatch.setattr(edge_map, "PIXELS", 16)
    found = edge_map.compare(3, 9, "cpu", repeats=3)
    assert (found["formula_ms"], found["kpbench_ms"], found["ratio"]) == (30, 10, 3)
    assert seen == {"edge_map": [9], "edge_map_reference": [8, 1]}
    assert sorted(gradients) == [1, 8, 9]
    assert (found["formula_mib"], found["K"], found["batch"]) == (None, 3, 9)
    assert "kpbench_ms" in edge_map.table([found])


def test_rendering_is_timed_apart_from_the_users_cache(cache: Path) -> None:
    from kpbench.registry import load_protocol

    before = sorted(cache.rglob("*"))
    protocol: Any = load_protocol("people_background")
    assert rendering.seconds(protocol.settings, 64, 32, "cpu") > 0
    assert sorted(cache.rglob("*")) == before


def test_rendering_is_timed_in_seconds_without_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    made: list[tuple[str, int]] = []

    def load(wanted: Any) -> None:
        made.append((wanted.split, wanted.count))
        now[0] += {"validation": 100.0, "train": 2.5}[wanted.split]

    monkeypatch.setattr("kpbench.people.dataset.load", load)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    assert rendering.seconds(None, 512, 128, "cpu") == 2.5
    assert made == [("validation", 64), ("train", 512)]


def test_rendering_is_told_in_images_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "seconds", lambda *_: 4.0)
    out = tmp_path / "rendering.json"
    words = ["--device", "cpu", "--images", "256", "--json", str(out)]
    shown = COMMAND.invoke(rendering.app, words).output
    assert "256 images of 128 pixels in 4.0 s on cpu: 64.0 images/s" in shown
    assert "the 22,000 of people_background at paper would take 5.7 minutes" in shown
    found = json.loads(out.read_text())
    assert (found["seconds"], found["images"], found["pixels"]) == (4, 256, 128)


# Beside the official code itself

OFFICIAL = os.environ.get("KPBENCH_AUTOLINK", "")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    amount = against_autolink.amount_of("cpu", 2)
    with (
        random_weights_where_missing(),
        imported(find_checkout(Path(OFFICIAL))) as official,
        packed(tmp_path / "tree", tmp_path / "cache") as protocol,
    ):
        write_tree(tmp_path / "tree", copies=1)
        yield Bench(official, amount, protocol, tmp_path / "tree", lambda _: None)


@pytest.mark.skipif(not OFFICIAL, reason="KPBENCH_AUTOLINK names no checkout of AutoLink")
class TestOfficialCode:
    def test_the_same_weights_give_the_same_results(self, bench: Bench) -> None:
        found = bench.agreement()
        require(found)
        assert [a.what for a in found] == [
            "detector logits",
            "keypoints",
            "edge map",
            "edge map, gradient of keypoints",
            "edge map, gradient of weights",
            "decoder output",
            "VGG16 loss",
            "gradients",
            "score of the test loop",
        ]

    def test_a_slight_difference_is_found(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def off(official: Any) -> Any:
            found = converted(official)
            if "detector.head.bias" in found:
                found["alpha"] = found["alpha"] * 1.001
            return found

        monkeypatch.setattr(agreeing, "converted", off)
        images = torch.rand(2, 3, 128, 128) * 2 - 1
        thickness = bench.plan.case.params["thickness"]
        found = agreeing.agreement(bench.model(), thickness, images)
        with pytest.raises(KpbenchError, match="decoder output"):
            require(found)

    def test_the_official_step_costs_what_its_paper_recipe_costs(self, bench: Bench) -> None:
        flop = training.official_flop(bench.model())
        assert flop.total / 1e9 == pytest.approx(236.9, abs=0.1)

    def test_the_test_loop_ends_with_nearly_the_same_score(self, bench: Bench) -> None:
        bench = replace(bench, amount=replace(bench.amount, loops=1))
        assert bench.loop_from_disk().images == 121
        assert bench.loop_from_memory().images == 121
