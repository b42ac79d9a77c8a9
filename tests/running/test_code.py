"""What makes a record stale: the plugin's own code does, kpbench's and torch's are named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kpbench.cli.main import main
from kpbench.files.python_imports import Modules
from kpbench.records.made_by import modules_of
from kpbench.records.record import all_records
from kpbench.registry import find
from kpbench.running import code, reuse
from kpbench.running.execute import Outcome, Settings, evaluate
from kpbench.running.image_2d import IMAGE_2D
from kpbench.running.plan import Cell
from kpbench.running.resolve import Rerun
from tests.conftest import Install, bright

CORE = Path(code.__file__).parents[1]
HELPED = bright("helped").replace(
    "import numpy as np\n", "import numpy as np\nfrom .deep import aid\n"
)


@pytest.fixture
def results(tmp_path: Path, toy_discs: str) -> Path:
    return tmp_path / "results"


@pytest.fixture
def kpbench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of kpbench's sources, whose change is taken for a change of kpbench."""
    copy = tmp_path / "copy" / "kpbench"
    shutil.copytree(CORE, copy, ignore=shutil.ignore_patterns("*.npz", "__pycache__"))
    monkeypatch.setattr(code, "_KPBENCH", Modules("kpbench", copy, ("kpbench", "kpbench.api")))
    monkeypatch.setattr(code, "_parts", {})
    return copy


def run(
    results: Path, method: str = "shiny", *, rerun: Rerun = "", protocol: str = "toy_discs"
) -> Outcome:
    settings = Settings(results, recipe="smoke", rerun=rerun)
    [outcome] = evaluate([Cell(method, protocol, 0)], settings)
    assert outcome.status in ("ok", "cached"), outcome.reason
    return outcome


def change(path: Path) -> None:
    path.write_text(path.read_text() + "\nCHANGED = True\n")


def rooms(method: str, protocol: str = "people_plain") -> dict[str, set[str]]:
    found = code.code_of(find("methods", method), find("protocols", protocol), IMAGE_2D)
    return {room: set(modules_of(line)) for room, line in found.kpbench.items()}


def test_the_code_is_what_method_protocol_and_evaluator_import() -> None:
    trained, floor = rooms("autolink"), rooms("mean_shape")
    assert {"detector", "edge_map.edges"} <= trained["nn"] and trained["training"]
    assert "nn" not in floor and "training" not in floor
    for found in (trained, floor):
        assert {"picture.render", "scene.scene"} <= found["people"]
        assert {"regression", "evaluators"} <= found["scoring"]
        assert {"equivariance", "label_efficiency"} <= found["diagnosis"]
        assert "measure" in found["running"] and "execute" not in found["running"]
        assert not found.keys() & {"boards", "cli", "studies", "registry", "errors"}


@pytest.mark.parametrize(
    ("module", "room"),
    [("scoring/regression.py", "scoring"), ("diagnosis/equivariance.py", "diagnosis"),
     ("running/measure.py", "running"), ("files/checkpoint.py", "files")],
)  # fmt: skip
def test_a_record_made_by_other_code_of_kpbench_is_used_and_says_so(
    results: Path, install: Install, kpbench: Path, module: str, room: str
) -> None:
    install("methods", {"shiny": bright("shiny")})
    first = run(results)
    assert run(results).reason == f"of {first.record.provenance['finished']}"  # type: ignore[union-attr]
    change(kpbench / module)
    again = run(results)
    assert (again.status, again.record) == ("cached", first.record)
    assert again.reason.endswith(f"; changed since: {room}; --rerun changed measures it again")
    assert run(results, rerun="changed").reason == f"changed since: {room}"
    assert "changed since" not in run(results).reason


def test_code_that_it_does_not_import_does_not_count(
    results: Path, install: Install, kpbench: Path
) -> None:
    install("methods", {"shiny": bright("shiny")})
    run(results)
    for module in ("nn/detector.py", "boards/board.py", "running/execute.py", "errors.py"):
        change(kpbench / module)
    path = kpbench / "scoring" / "regression.py"
    path.write_text(path.read_text() + "\n# a comment\n")
    assert "changed since" not in run(results).reason
    assert run(results, rerun="changed").status == "cached"


def test_a_helper_of_the_plugins_package_is_its_own_code(results: Path, install: Install) -> None:
    """However deep it lies, and whether or not its name begins with an underscore."""
    package = install("methods", {"helped": HELPED, "other": bright("other")})
    folder = results.parent / f"site-{package}" / package
    (folder / "deep").mkdir()
    (folder / "deep" / "__init__.py").write_text("def aid():\n    from . import below\n")
    (folder / "deep" / "below.py").write_text("x = 1\n")
    assert run(results, "helped").status == run(results, "other").status == "ok"
    change(folder / "deep" / "below.py")
    assert run(results, "other").status == "cached"
    assert run(results, "helped").reason == "its code changed"
    (folder / "deep" / "below.py").write_text("def broken(:\n")
    settings = Settings(results, recipe="smoke")
    [outcome] = evaluate([Cell("helped", "toy_discs", 0)], settings)
    assert outcome.status == "failed" and "SyntaxError" in outcome.reason


def test_another_minor_version_of_torch_is_named(
    results: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("methods", {"shiny": bright("shiny")})
    record = run(results).record
    assert record is not None
    made = record.provenance["packages"]

    def now(version: str) -> str:
        monkeypatch.setattr(reuse, "packages", lambda: {**made, "torch": version})
        return run(results).reason

    major, minor, _ = made["torch"].split(".", 2)
    assert "changed" not in now(f"{major}.{minor}.99+cu128")
    later = f"{major}.{int(minor) + 1}"
    assert f"; changed since: torch {major}.{minor} (now {later});" in now(f"{later}.0")
    assert run(results, rerun="changed").reason == (
        f"changed since: torch {major}.{minor} (now {later})"
    )


def test_of_a_record_from_before_nothing_is_known(results: Path, install: Install) -> None:
    install("methods", {"shiny": bright("shiny")})
    record = run(results).record
    assert record is not None
    old = {name: v for name, v in record.provenance.items() if name not in ("kpbench", "packages")}
    record.model_copy(update={"provenance": old}).save(results)
    again = run(results, rerun="changed")
    assert (again.status, again.reason) == ("cached", f"of {old['finished']}")


def test_what_was_read_is_kept_for_the_next_process(
    results: Path, install: Install, kpbench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("methods", {"shiny": bright("shiny")})
    run(results)
    monkeypatch.setattr(code, "_parts", {})

    def parse(*_: object) -> None:
        raise AssertionError("parsed again")

    with monkeypatch.context() as patch:
        patch.setattr(code, "_parsed", parse)
        assert run(results).status == "cached"
    change(kpbench / "scoring" / "regression.py")
    monkeypatch.setattr(code, "_parts", {})
    assert "changed since: scoring" in run(results).reason


@pytest.mark.parametrize("kept", ["{", "[]", '{"own": {}}'])
def test_a_cache_that_cannot_be_read_is_written_again(
    results: Path, install: Install, kpbench: Path, cache: Path, kept: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("KPBENCH_CACHE", str(results.parent / "cache"))
    install("methods", {"shiny": bright("shiny")})
    first = run(results)
    files = list((results.parent / "cache" / "code").glob("*.json"))
    assert len(files) == 3, "method, protocol, measuring"
    for path in files:
        path.write_text(kept)
    monkeypatch.setattr(code, "_parts", {})
    assert run(results).reason == f"of {first.record.provenance['finished']}"  # type: ignore[union-attr]
    assert all(json.loads(path.read_text())["files"] for path in files)


def test_rerun_on_the_command_line(
    results: Path, install: Install, kpbench: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("methods", {"shiny": bright("shiny"), "glossy": bright("glossy")})
    words = ["evaluate", "-p", "toy_discs", "--recipe", "smoke", "--results", str(results)]
    both = [*words, "-m", "shiny", "-m", "glossy"]

    def lines(*further: str) -> list[str]:
        assert main([*both, *further]) == 0
        return [line for line in capsys.readouterr().out.splitlines() if "seed 0" in line]

    assert all("(new)" in line for line in lines("--rerun", "changed"))
    [record, _] = all_records(results)
    old = dict(record.provenance)
    old["kpbench"] = {**old["kpbench"], "scoring": "regression=00000000"}
    record.model_copy(update={"provenance": old}).save(results)
    cached = lines()
    assert [("changed since: scoring" in line) for line in cached].count(True) == 1
    again = lines("--rerun=changed")
    assert sorted(line.split()[0] for line in again) == ["cached", "ok"]
    for plain in (["--rerun"], ["--rerun", "--verbose"], ["--rerun", "all"]):
        assert all("(asked for)" in line for line in lines(*plain))
    assert main([*both, "--rerun", "everything"]) == 2
    assert "did you mean" in (said := capsys.readouterr().err) or "known: all, changed" in said
