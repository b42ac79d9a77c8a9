"""What matters most on a GPU, in small on a CPU: what each row measures, writes and refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks import essentials
from benchmarks.autolink import run as comparing
from benchmarks.autolink.bench import Amount
from benchmarks.autolink.report import Convolutions, Report, Row
from benchmarks.autolink.training import Flop, Plan, Steps
from benchmarks.essentials import app
from kpbench.cli.main import main
from kpbench.errors import KpbenchError
from kpbench.speed.timing import Timing
from kpbench.speed.training import Case

COMMAND = CliRunner()
TIME = Timing(20.0, 19.0, 21.0, 5)


def small() -> Amount:
    """Return an amount of seconds: tiny networks, a round of each."""
    case = Case("autolink", "smoke", pixels=128)
    return Amount(Plan(case, 1, 1, 1, 1), copies=1, repeats=1, loops=1)


def test_kpbench_alone_is_measured_without_the_official_code() -> None:
    with comparing.opened(None, small(), lambda _: None) as (bench, report):
        found = [*essentials.detector(bench, report), *essentials.test_loop(bench, report)]
        edges = bench.edge_map()
    assert [row["what"] for figures in found for row in figures["rows"]] == [
        "detector, forward",
        "test loop from memory",
    ]
    assert found[1]["rows"][0]["images"] == 121
    for figures in found:
        assert figures["setting"]["official code"] == "not given, so not measured"
        assert figures["rows"][0]["official"] is figures["rows"][0]["ratio"] is None
        assert figures["rows"][0]["images_per_s"]["kpbench"] > 0
    assert (edges.official, edges.images) == (None, small().plan.case.batch)
    json.dumps(found, allow_nan=False)


def test_the_step_is_kept_before_operations_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row("training step", 64, None, TIME, None)
    bench: Any = SimpleNamespace(
        step=lambda: (row, Steps(None, TIME, 2)),
        say=lambda _: None,
        plan=SimpleNamespace(case=SimpleNamespace(batch=64)),
    )
    peak = SimpleNamespace(
        tflops=800.0, datasheet_tflops=None, model_dump=lambda mode: {"tflops": 800.0}
    )
    monkeypatch.setattr(comparing, "_peak", lambda plan, threads: peak)
    monkeypatch.setattr(comparing, "our_flop", lambda case: Flop(3e11, 2.5e11))
    empty = Report({"device": "cuda"}, (), ())
    first, second = essentials.training_step(bench, empty)
    assert first["rows"][0]["images_per_s"] == {"official": None, "kpbench": 3200}
    assert (len(first["convolutions"]), first["peak"]) == (0, {})
    assert second["rows"] == first["rows"]
    [share] = second["convolutions"]
    assert share["tflops"] == pytest.approx(800)
    assert share["of_measured"] == pytest.approx(1.0)
    assert second["setting"]["training threads on the CPU"] == 2


def test_the_edge_map_is_compared_with_its_formula_too(monkeypatch: pytest.MonkeyPatch) -> None:
    bench: Any = SimpleNamespace(
        edge_map=lambda: Row("edge map", 64, None, TIME, None),
        plan=SimpleNamespace(case=SimpleNamespace(batch=64), device="cuda"),
        amount=SimpleNamespace(repeats=20),
    )
    monkeypatch.setattr("benchmarks.edge_map.compare", lambda *asked: {"asked": asked})
    found = list(essentials.edge_map(bench, Report({"device": "cuda"}, (), ())))
    assert [len(figures.get("formula", ())) for figures in found] == [0, 1, 2]
    asked = [each["asked"] for each in found[-1]["formula"]]
    assert asked == [(16, 64, "cuda", 20), (32, 64, "cuda", 20)]


class Done:
    """A process that has ended."""

    def __init__(self, code: int) -> None:
        self.returncode = code
        self.killed = False

    def wait(self) -> int:
        return self.returncode

    def kill(self) -> None:
        self.killed = True


def in_this_process(*asked: Any) -> Any:
    code = main(essentials.evaluate_words(*asked))
    return Done(code)


def test_a_training_is_scored_on_both_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(essentials, "_evaluate", in_this_process)
    first, second, last = essentials.quick_training("cpu", recipe="smoke")
    assert "cpu" not in first
    assert first["measured"] == second["measured"] == last["measured"]
    assert (last["method"], last["protocol"], last["seed"]) == ("autolink", "people_background", 0)
    one, other = last["measured"], last["cpu"]
    assert one["scores"] == other["scores"]
    assert next(iter(one["scores"])) == "people_background/autolink"
    assert (one["device"], one["precision"], one["unit"]) == ("cpu", "32-true", "%")
    assert (last["difference"], last["same data"]) == (0, True)
    assert one["seconds in all"] >= one["seconds of the training"] > 0


def record(value: float, data: str, device: str) -> dict[str, Any]:
    score = {"value": value, "unit": "%"}
    return {
        "evaluator": "b",
        "scores": {"a": {"value": 1.0, "unit": "px"}, "b": score},
        "identity": {"device": device, "data": data},
        "provenance": {"precision": "bf16-mixed"},
        "seconds": {"fit": 3.0},
    }


def test_the_difference_is_of_the_protocols_own_score_and_other_data_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = iter([record(9.5, "x", "cuda"), record(9.0, "y", "cpu")])
    monkeypatch.setattr(essentials, "_evaluate", lambda *_: Done(0))
    monkeypatch.setattr(essentials, "_record", lambda folder: next(records))
    monkeypatch.setattr("kpbench.running.provenance.collect", lambda device: {})
    *_, found = essentials.quick_training("cuda")
    assert found["difference"] == 0.5
    assert found["same data"] is False
    assert found["measured"]["scores"] == {"b": 9.5, "a": 1.0}
    assert found["measured"]["precision"] == "bf16-mixed"


def test_a_training_that_fails_is_told_and_the_other_one_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    processes = [Done(0), Done(1)]
    started = iter(processes)
    monkeypatch.setattr(essentials, "_evaluate", lambda *_: next(started))
    monkeypatch.setattr(essentials, "_record", lambda folder: record(9.5, "x", "cuda"))
    monkeypatch.setattr("kpbench.running.provenance.collect", lambda device: {})
    rows = essentials.quick_training("cuda")
    assert next(rows)["measured"]["scores"]["b"] == 9.5
    with pytest.raises(KpbenchError, match="evaluate --device cpu ended with 1"):
        next(rows)
    assert all(process.killed for process in processes)  # no training is left behind


def test_figures_are_on_disk_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, seen = tmp_path / "row.json", []

    def rows(*asked: Any) -> Iterator[dict[str, Any]]:
        seen.append(asked)
        yield {"first": 1}
        assert json.loads(out.read_text()) == {"first": 1}
        raise KpbenchError("the GPU is gone")

    monkeypatch.setattr(essentials, "beside_autolink", rows)
    words = ["detector", "--device", "cpu", "--checkout", str(tmp_path), "--json", str(out)]
    ended = COMMAND.invoke(app, words)
    assert (ended.exit_code, "the GPU is gone" in ended.output) == (2, True)
    assert seen == [("detector", "cpu", None, tmp_path)]
    assert json.loads(out.read_text()) == {"first": 1}


def test_wrong_words_end_with_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for words, reason in (
        (["detektor"], "detector"),
        (["detector", "--device", "cuda"], "no CUDA device works here"),
        (["quick_training", "--device", "cuda"], "no CUDA device works here"),
        (["detector", "--device", "cpu", "--checkout", str(tmp_path)], "is no checkout"),
    ):
        ended = COMMAND.invoke(app, words)
        assert ended.exit_code == 2, words
        assert reason in ended.output


def test_shares_are_told_by_side() -> None:
    share = Convolutions("kpbench, as computed", 230.0, 237.0, 400.0, 0.5, None)
    found = replace(Report({"device": "cuda"}, (), ()), convolutions=[share]).as_dict()
    assert found["convolutions"][0]["of_measured"] == 0.5
