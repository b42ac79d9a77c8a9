"""One failure is one failed record; nothing finished is lost; bad methods cannot hurt others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from kpbench.api import Progress
from kpbench.cli import console
from kpbench.cli.score_table import print_scores
from kpbench.errors import StorageError
from kpbench.files.alone import alone_in
from kpbench.records.record import all_records, read_record, stored_artifact
from kpbench.running import one_run
from kpbench.running.engines import here
from kpbench.running.execute import Outcome, Settings, evaluate
from kpbench.running.plan import Cell, grid
from kpbench.running.resolve import resolve
from kpbench.scoring.per_image import load_scores
from kpbench.scoring.scorefile import score_file
from tests.conftest import TOY_PROTOCOL, Install, bright

FLOORS = ["mean_shape", "oracle"]


def run(results: Path, methods: list[str], **changes: object) -> dict[str, Outcome]:
    settings = replace(Settings(results, recipe="smoke"), **changes)  # type: ignore[arg-type]
    found = evaluate(grid(methods, ["toy_discs"], [0]), settings)
    return {outcome.cell.method: outcome for outcome in found}


def value(outcome: Outcome) -> float:
    assert outcome.record is not None, outcome.reason
    return outcome.record.scores["toy_discs/strict"].value


@pytest.fixture
def results(tmp_path: Path, toy_discs: str) -> Path:
    return tmp_path / "results"


def test_scores_lie_between_floor_and_oracle(results: Path, install: Install) -> None:
    install("methods", {"shiny": bright("shiny")})
    found = run(results, ["shiny", *FLOORS])
    assert [outcome.status for outcome in found.values()] == ["ok"] * 3
    assert value(found["oracle"]) < 1e-9
    assert value(found["oracle"]) < value(found["shiny"]) < 0.5 * value(found["mean_shape"])
    assert found["shiny"].record is not None
    assert found["shiny"].record.foreground_hits == 1.0


def test_a_second_run_is_cached_and_rerun_is_not(results: Path) -> None:
    first = run(results, FLOORS)
    again = run(results, FLOORS)
    assert [outcome.status for outcome in again.values()] == ["cached", "cached"]
    assert [o.record for o in again.values()] == [o.record for o in first.values()]
    assert {o.status for o in run(results, FLOORS, rerun="all").values()} == {"ok"}


def test_changed_code_runs_again_but_comments_do_not(results: Path, install: Install) -> None:
    source = bright("shiny")
    package = install("methods", {"shiny": source})
    path = results.parent / f"site-{package}" / package / "shiny.py"
    assert run(results, ["shiny"])["shiny"].status == "ok"
    path.write_text("# a comment\n" + source.replace("The centre", "The very centre"))
    assert run(results, ["shiny"])["shiny"].status == "cached"
    path.write_text(source.replace("** self.gain", "** (2 * self.gain)"))
    again = run(results, ["shiny"])["shiny"]
    assert (again.status, again.reason) == ("ok", "its code changed")


BAD = {
    "gives_nan": (bright("gives_nan", predict="points[1] = np.nan"), "not finite in 1 of"),
    "wrong_k": (bright("wrong_k", predict="points = points[:, :3]"), "not (40, 4, 2)"),
    "pixels": (bright("pixels", predict="points = points * 32"), "divide pixels"),
    "raises": (bright("raises", predict="1 / 0"), "ZeroDivisionError"),
    "writes": (bright("writes", fit="images.images[:] = 0"), "read-only"),
    "writes_late": (bright("writes_late", predict="images.images[:] = 0"), "read-only"),
    "unscorable": (bright("unscorable", fit="raise MemoryError('big')"), "MemoryError: big"),
}


def test_a_failure_is_recorded_and_the_run_goes_on(results: Path, install: Install) -> None:
    before = value(run(results, ["mean_shape"])["mean_shape"])
    install("methods", {name: source for name, (source, _) in BAD.items()})
    found = run(results, [*BAD, *FLOORS], rerun="all")
    for name, (_, words) in BAD.items():
        assert found[name].status == "failed"
        assert words in found[name].reason
        record = found[name].record
        assert record is not None and record.error is not None and not record.scores
        assert read_record(record.path(results)) == record
    assert value(found["mean_shape"]) == before
    assert found["oracle"].status == "ok"


def test_a_failed_cell_is_tried_again(results: Path, install: Install) -> None:
    install("methods", {"raises": BAD["raises"][0]})
    run(results, ["raises"])
    again = run(results, ["raises"])["raises"]
    assert again.status == "failed"
    assert again.record is not None and again.record.status == "failed"


def test_a_failed_rerun_keeps_the_good_record(
    results: Path, install: Install, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    source = bright("fragile", fit=f"if __import__('os').path.exists({str(broken)!r}): 1 / 0")
    package = install("methods", {"fragile": source})
    good = run(results, ["fragile"])["fragile"].record
    assert good is not None
    broken.touch()
    again = run(results, ["fragile"], rerun="all")["fragile"]
    assert (again.status, again.record) == ("failed", None)
    assert "division by zero; the record of 2" in again.reason and "is kept" in again.reason
    assert list(all_records(results)) == [good]
    assert run(results, ["fragile"])["fragile"].status == "cached"
    path = results.parent / f"site-{package}" / package / "fragile.py"
    path.write_text(source.replace("** self.gain", "** (2 * self.gain)"))
    assert run(results, ["fragile"])["fragile"].record is not None
    [changed] = all_records(results)
    assert changed.status == "failed", "the score was of other code"


def test_another_precision_runs_again_what_is_trained(results: Path, install: Install) -> None:
    install("methods", {"shiny": bright("shiny")})
    run(results, ["shiny", *FLOORS])
    found = run(results, ["shiny", *FLOORS], precision="bf16-mixed")
    assert {name: outcome.status for name, outcome in found.items()} == {
        "shiny": "ok", "mean_shape": "cached", "oracle": "cached",
    }  # fmt: skip
    assert found["shiny"].reason == "it was trained with precision 32-true"
    record = found["shiny"].record
    assert record is not None and record.provenance["precision"] == "bf16-mixed"
    assert run(results, ["shiny"], precision="bf16-mixed")["shiny"].status == "cached"
    old = {name: value for name, value in record.provenance.items() if name != "precision"}
    record.model_copy(update={"provenance": old}).save(results)
    assert run(results, ["shiny"])["shiny"].status == "cached", "of before precision was kept"


def test_a_transfer_is_not_trained_so_no_precision_counts(results: Path, install: Install) -> None:
    install("methods", {"shiny": bright("shiny")})
    install("protocols", {"toy_more": TOY_PROTOCOL.replace("toy_discs", "toy_more")})
    cells = [Cell("shiny", "toy_more", 0, train_on="toy_discs")]
    settings = Settings(results, recipe="smoke")
    assert [o.status for o in evaluate(cells, settings)] == ["ok"]
    other = replace(settings, precision="bf16-mixed")
    assert [o.status for o in evaluate(cells, other)] == ["cached"]


def test_a_loaded_method_predicts_where_it_was_asked_to(results: Path, install: Install) -> None:
    moves = "    def to(self, device):\n        raise RuntimeError(f'moved to {device}')\n\nPLUGIN"
    install("methods", {"shiny": bright("shiny").replace("PLUGIN", moves, 1)})
    install("protocols", {"toy_more": TOY_PROTOCOL.replace("toy_discs", "toy_more")})
    settings = Settings(results, recipe="smoke")
    assert [o.status for o in evaluate([Cell("shiny", "toy_discs", 0)], settings)] == ["ok"]
    cells = [Cell("shiny", "toy_more", 0, train_on="toy_discs")]
    assert ["moved to cpu" in o.reason for o in evaluate(cells, settings)] == [True]


def test_what_another_process_made_meanwhile_is_taken(
    results: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two `kpbench evaluate` in one folder train a run once, and not in one another's state."""
    install("methods", {"shiny": bright("shiny")})
    settings, where = Settings(results, recipe="smoke"), []

    @contextmanager
    def after_another(folder: Path, waiting: object) -> Iterator[bool]:
        where.append(folder)
        with alone_in(folder, lambda: None):
            yield len(where) > 1

    monkeypatch.setattr(one_run, "alone_in", after_another)
    wanted = resolve(Cell("shiny", "toy_discs", 0), settings, lambda *_: None)
    first = one_run.execute(wanted, one_run.Data())
    again = one_run.execute(wanted, one_run.Data())
    assert (first.status, again.status) == ("ok", "cached")
    assert again.record == first.record and "another process" in again.reason
    assert where == [wanted.file("training")] * 2


@pytest.mark.parametrize("method", ["shiny", "raises", "film"])
def test_the_line_of_a_finished_cell_goes(
    results: Path, install: Install, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Progress is told under the title of the cell, with what is set for it, and ended so."""
    told: list[str] = []
    fit = "context.progress(1, 2, 'training')"
    film = bright("film").replace("    gain:", '    needs = ("frames",)\n    gain:')
    sources = {"shiny": bright("shiny", fit=fit), "raises": bright("raises", fit=fit + "; 1 / 0")}
    install("methods", {**sources, "film": film})

    @contextmanager
    def bar(*_: object) -> Iterator[Progress]:
        yield lambda done, total, text: told.append(text)

    monkeypatch.setattr(console, "progress_bar", bar)
    settings = Settings(results, recipe="smoke", overrides={method: {"gain": 2.0}})
    work = [(Cell(method, "toy_discs", 0), settings)]
    outcomes = console.run_work(Console(quiet=True), work, jobs=1, verbose=False)
    assert outcomes is not None and len(outcomes) == 1
    title = f"toy_discs / {method} / seed 0 (gain=2.0)"
    assert told[-1] == f"{title}: {console.FINISHED}"
    assert method == "film" or f"{title}: training" in told


def test_what_cannot_run_is_skipped_or_failed_with_the_reason(
    results: Path, install: Install
) -> None:
    late = bright("late").replace("    gain:", '    requires = ("not_there_at_all",)\n    gain:')
    film = bright("film").replace("    gain:", '    needs = ("frames",)\n    gain:')
    install("methods", {"late": late, "film": film, "typo": "import a_typo"})
    found = run(results, ["late", "film", "typo"])
    assert (found["late"].status, found["film"].status) == ("skipped", "skipped")
    assert "pip install not_there_at_all" in found["late"].reason
    assert found["film"].reason == "toy_discs has no frames"
    assert found["typo"].status == "failed"


def test_a_corrupt_record_is_named_and_the_others_are_kept(results: Path) -> None:
    record = run(results, FLOORS)["oracle"].record
    assert record is not None
    record.path(results).write_text("{ half a rec")
    found = run(results, FLOORS)
    assert found["mean_shape"].status == "cached"
    assert found["oracle"].status == "failed"
    assert str(record.path(results)) in found["oracle"].reason
    assert run(results, ["oracle"], rerun="all")["oracle"].status == "ok"


def test_a_kill_loses_at_most_the_running_cell(
    results: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("methods", {"stopped": bright("stopped", fit="raise KeyboardInterrupt")})
    settings = Settings(results, recipe="smoke")
    cells = grid(["mean_shape", "stopped", "oracle"], ["toy_discs"], [0])
    with pytest.raises(KeyboardInterrupt):
        list(evaluate(sorted(cells, key=lambda cell: cell.method), settings))
    assert [record.identity.method for record in all_records(results)] == ["mean_shape", "oracle"]
    monkeypatch.setattr(here, "execute", None)
    assert {o.status for o in run(results, FLOORS).values()} == {"cached"}


def test_a_folder_that_cannot_be_written_stops_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(tmp_path / "file" / "results", recipe="smoke")
    with pytest.raises(StorageError, match="choose a folder"):
        next(evaluate([Cell("mean_shape", "toy_discs", 0)], settings))


def test_artifacts_reproduce_the_score_and_are_checked(results: Path, install: Install) -> None:
    install("methods", {"shiny": bright("shiny")})
    record = run(results, ["shiny"])["shiny"].record
    assert record is not None
    scores = load_scores(stored_artifact(results, record, "scores"))["toy_discs/strict"]
    wanted = record.scores["toy_discs/strict"].value
    assert scores.errors.mean() == pytest.approx(wanted, rel=1e-6)
    arrays = np.load(stored_artifact(results, record, "predictions"))
    assert arrays["train_keypoints"].shape == (40, 4, 2)
    path = stored_artifact(results, record, "scores")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(Exception, match="was altered"):
        stored_artifact(results, record, "scores")


def test_predictions_can_be_scored_again_from_the_file(results: Path) -> None:
    record = run(results, ["oracle"])["oracle"].record
    assert record is not None
    path = stored_artifact(results, record, "predictions")
    assert score_file(path, "deepfashion/strict").value == 100.0


def test_seeds_and_parameters_get_records_of_their_own(results: Path, install: Install) -> None:
    install("methods", {"shiny": bright("shiny")})
    cells = grid(["shiny"], ["toy_discs"], [0, 1])
    settings = Settings(results, recipe="smoke")
    other = replace(settings, overrides={"shiny": {"gain": 2.0}})
    done = [*evaluate(cells, settings), *evaluate(cells, other)]
    paths = {o.record.path(results) for o in done if o.record is not None}
    assert len(paths) == 4
    bad = replace(settings, overrides={"shiny": {"gian": 2.0}})
    [outcome, _] = evaluate(cells, bad)
    assert outcome.status == "failed"
    assert "did you mean gain" in outcome.reason


def test_record_has_no_secret_and_no_absolute_path(
    results: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret")
    fail = "raise OSError('cannot read /home/somebody/data/file.h5 or C:\\\\Users\\\\x\\\\y.h5')"
    install("methods", {"leaks": bright("leaks", fit=fail)})
    run(results, ["leaks", *FLOORS])
    texts = [path.read_text() for path in results.rglob("*.json")]
    assert len(texts) == 5  # three records and the checkpoints of the two that were fitted
    for text in texts:
        assert "hf_very_secret" not in text
        assert str(results.parent) not in text
        assert not re.search(r'[" ]/[a-z]+/|[A-Z]:\\', text), text
    leaks = [json.loads(t) for t in texts if "OSError" in t]
    assert leaks[0]["error"]["message"] == "cannot read …/file.h5 or …/y.h5"
    assert leaks[0]["error"]["where"].endswith("leaks.py:18")


def test_an_evaluator_that_cannot_be_applied_does_not_cost_the_others_their_scores(
    install: Install, tmp_path: Path
) -> None:
    further = """
        EvaluatorSpec(
            name="two_rules/eyes", paper="none", formula="none", metric="normalised L2", unit="%",
            scale=100.0, bias=True, eyes=(0, 9),
        ),
    )
    default = False"""
    source = TOY_PROTOCOL.replace("toy_discs", "two_rules")
    install("protocols", {"two_rules": source.replace("    )\n    default = False", further)})
    install("methods", {"bright_two": bright("bright_two")})
    settings = Settings(tmp_path, recipe="smoke")
    [outcome] = evaluate([Cell("bright_two", "two_rules", 0)], settings)
    assert outcome.status == "ok" and outcome.record is not None, outcome.trace
    assert set(outcome.record.scores) == {"two_rules/strict"}
    assert "at least 10 landmarks, got 4" in outcome.record.unscored["two_rules/eyes"]


def test_a_method_without_a_score_under_one_evaluator_is_printed_beside_the_others(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    further = """
        EvaluatorSpec(
            name="two_rules/plain", paper="none", formula="none", metric="normalised L2", unit="%",
            scale=100.0, bias=False,
        ),
    )
    default = False"""
    source = TOY_PROTOCOL.replace("toy_discs", "two_rules")
    install("protocols", {"two_rules": source.replace("    )\n    default = False", further)})
    install("methods", {"one_more": bright("one_more"), "one_less": bright("one_less")})
    settings = Settings(tmp_path, recipe="smoke")
    cells = [Cell(name, "two_rules", 0) for name in ("one_less", "one_more")]
    less, more = (outcome.record for outcome in evaluate(cells, settings))
    assert less is not None and more is not None
    kept = {"two_rules/strict": less.scores["two_rules/strict"]}
    less = less.model_copy(update={"scores": kept})
    for records in ((less, more), (more, less)):
        print_scores(Console(width=200), records, tmp_path)
        lines = capsys.readouterr().out.splitlines()
        assert any("plain" in line for line in lines)
        [row] = [line for line in lines if "one_less" in line]
        assert "–" in row
