"""The calls that measure on a GPU: their parts, time budgets, packages, and what stays of them."""

from __future__ import annotations

import doctest
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
import venv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu, packages, parts
from benchmarks.parts import ARCHIVE, SUMMARY, Ended, Part, run_all
from benchmarks.uninstalled import ROOT, importable
from kpbench.api import MovableMethod
from kpbench.registry import Plugin, available, load_method

ROWS = ["training_step", "edge_map", "detector", "test_loop", "quick_training", "cuda_tests"]


def python(code: str, name: str = "part", limit: float = 60, **more: Any) -> Part:
    return Part(name, f"what {name} measures", ("-c", code), limit, **more)


def summary(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((out / SUMMARY).read_text())
    return found


def kept(out: Path, name: str) -> bytes:
    with tarfile.open(out / ARCHIVE) as archive:
        file = archive.extractfile(name)
        assert file is not None
        return file.read()


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(parts, "GRACE", 0.3)
    yield


@pytest.mark.parametrize("module", [packages, parts])
def test_examples_run(module: Any) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


# Time budgets


@pytest.mark.usefixtures("short_grace")
def test_a_part_that_fails_or_hangs_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Patient(subprocess.Popen[bytes]):
        """Lets the part that hangs start its own process before its time runs."""

        def wait(self, timeout: float | None = None) -> int:
            while timeout == 0.5 and not (tmp_path / "beats").exists():
                time.sleep(0.01)
            return super().wait(timeout)

    monkeypatch.setattr(subprocess, "Popen", Patient)
    monkeypatch.setattr(parts, "budget", lambda wanted, left: wanted[0].limit)
    beat = "import time\nwhile True: open(r'{}', 'a').write('.'); time.sleep(0.05)"
    code = beat.format(tmp_path / "beats")
    hang = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); import time; "
    wanted = [
        python("raise ImportError('no platformdirs')", "fails"),
        python(hang, "hangs", limit=0.5),
        python(f"{deaf} time.sleep(60)", "deaf", limit=1),
        python(f"open(r'{tmp_path / 'figure.json'}', 'w').write('1'); print('hello')", "works"),
    ]
    found = run_all(wanted, tmp_path, os.environ, seconds=60)
    assert [e.ended for e in found] == ["failed with 1", "out of time", "out of time", "ok"]
    assert [e["name"] for e in summary(tmp_path)] == ["fails", "hangs", "deaf", "works"]
    assert [e["limit"] for e in summary(tmp_path)] == [60, 0.5, 1, 60]
    assert found[0].said == "ImportError: no platformdirs"
    assert "===== works" in (tmp_path / "log.txt").read_text()
    beats = (tmp_path / "beats").stat().st_size
    time.sleep(0.3)
    assert (tmp_path / "beats").stat().st_size == beats > 0
    with tarfile.open(tmp_path / ARCHIVE) as archive:
        assert archive.getnames() == ["beats", "figure.json", "log.txt", SUMMARY]
    assert b"hello" in kept(tmp_path, "log.txt")


def test_a_part_has_its_own_time_and_what_was_left_over() -> None:
    first, second, third = python("", limit=10), python("", limit=5), python("", limit=5)
    assert parts.budget([first, second, third], 20) == 10
    assert parts.budget([second, third], 18) == 13  # the first one took 2
    assert parts.budget([third], 17) == 17
    assert parts.budget([first, second, third], 12) == 10  # too little for all
    assert parts.budget([second, third], 2) == 2
    assert parts.budget([third], -1) < 0


@pytest.mark.usefixtures("short_grace")
def test_time_for_all_is_shared_in_order(tmp_path: Path) -> None:
    wanted = [python("import time; time.sleep(60)", "long"), python("", "late")]
    found = run_all(wanted, tmp_path, os.environ, seconds=1)
    assert [e.ended for e in found] == ["out of time", "no time left"]
    assert [e["left"] for e in summary(tmp_path)] == [0, 0]


@pytest.mark.usefixtures("short_grace")
def test_what_a_part_wrote_before_its_time_was_over_is_kept(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    writes = f"open(r'{figures}', 'w').write('[1]'); import time; time.sleep(60)"
    part = python(writes, figures="figures.json")
    [ended] = run_all([part], tmp_path, os.environ, seconds=5)
    assert ended.ended == "out of time"
    assert summary(tmp_path)[0]["figures"] == [1]
    assert kept(tmp_path, "figures.json") == b"[1]"


def test_figures_that_are_no_json_cost_nothing_else(tmp_path: Path) -> None:
    writes = f"open(r'{tmp_path / 'half.json'}', 'w').write('[1, ')"
    wanted = [python(writes, "half", figures="half.json"), python("", figures="never.json")]
    run_all(wanted, tmp_path, os.environ, seconds=60)
    assert [(e["ended"], e["figures"]) for e in summary(tmp_path)] == [("ok", None)] * 2


def test_the_file_is_written_after_each_part_and_says_which_one_runs(tmp_path: Path) -> None:
    seen = f"import shutil; shutil.copy(r'{tmp_path / SUMMARY}', r'{{}}')"
    wanted = [
        python("print('done')", "first"),
        python(seen.format(tmp_path / "during.json"), "second"),
    ]
    run_all(wanted, tmp_path, os.environ, seconds=60)
    during = json.loads((tmp_path / "during.json").read_text())
    assert [(e["name"], e["ended"]) for e in during] == [("first", "ok"), ("second", "not ended")]
    assert during[0]["said"] == "done"
    assert [e["ended"] for e in summary(tmp_path)] == ["ok", "ok"]


def test_a_part_whose_packages_are_missing_is_not_started(tmp_path: Path) -> None:
    wanted = [python("", "lacks", needs=("no-such-package", "pytest")), python("", "works")]
    run_all(wanted, tmp_path, os.environ, seconds=60)
    ended = [e["ended"] for e in summary(tmp_path)]
    assert ended == ["needs no-such-package", "ok"]


CALL = """
import sys
sys.path.insert(0, {root!r})
from benchmarks import gpu, parts
beat = "import time\\nwhile True: open({beats!r}, 'a').write('.'); time.sleep(0.05)"
gpu.chosen = lambda *_: [parts.Part("done", "", ("-c", ""), 50),
                         parts.Part("beats", "", ("-c", beat), 50)]
gpu.gpu = lambda _: "a GPU"
parts.GRACE = 0.3
sys.exit(gpu.main([{out!r}]))
"""


def test_a_call_that_is_ended_takes_its_part_along(tmp_path: Path) -> None:
    beats, out = tmp_path / "beats", tmp_path / "out"
    code = CALL.format(root=str(ROOT), beats=str(beats), out=str(out))
    call = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not beats.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    call.send_signal(signal.SIGTERM)
    assert call.wait(30) == 128 + signal.SIGTERM
    size = beats.stat().st_size
    time.sleep(0.3)
    assert beats.stat().st_size == size
    assert [(e["name"], e["ended"]) for e in summary(out)] == [
        ("done", "ok"),
        ("beats", "not ended"),
    ]


# Which parts


def limits_of(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """Note which parts run and for how long, on a clock on which each takes a second."""
    now, seen = [0.0], []

    def run(part: Part, log: Path, limit: float, environment: Mapping[str, str]) -> Ended:
        now[0] += 1
        with log.open("a") as file:
            file.write(f"{part.name}\n")
        seen.append((part.name, limit))
        return Ended(part.name, "ok", 1.0)

    monkeypatch.setattr(parts, "run", run)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(gpu, "gpu", lambda environment: "a GPU")
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return seen


def test_chosen_parts_alone_run_and_join_those_that_ran_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = limits_of(monkeypatch)
    for words in (["sweep"], ["rendering", "other_methods"], ["rendering"]):
        command = [word for name in words for word in ("--part", name)]
        assert gpu.main([str(tmp_path), *command]) == 0
    # in order of importance, each with what the others do not need
    wanted = [("sweep", 570), ("other_methods", 510), ("rendering", 569), ("rendering", 570)]
    assert seen == wanted
    assert [e["name"] for e in summary(tmp_path)] == ["sweep", "other_methods", "rendering"]
    names = [name for name, _ in wanted]
    assert (tmp_path / "log.txt").read_text().split() == names
    assert gpu.main([str(tmp_path), "--part", "nosuch"]) == 2
    assert "no part 'nosuch'; there are essentials, training_step" in capsys.readouterr().out
    assert len(seen) == len(wanted)


@pytest.mark.parametrize("words", [[], ["--part", "essentials"], ["--part", "detector"]])
def test_the_essentials_are_what_runs_unless_others_are_named(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = limits_of(monkeypatch)
    assert gpu.main([str(tmp_path), *words]) == 0
    assert [name for name, _ in seen] == (["detector"] if "detector" in words else ROWS)
    # eight minutes, whatever is chosen of them
    assert seen[-1][1] == 60 * gpu.ESSENTIAL_MINUTES - len(seen) + 1


def test_one_part_that_fails_is_seen_by_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits_of(monkeypatch)
    monkeypatch.setattr(parts, "run", lambda part, *_: Ended(part.name, "out of time", 1.0))
    assert gpu.main([str(tmp_path), "--part", "sweep"]) == 1


def test_all_essentials_fit_into_eight_minutes(tmp_path: Path) -> None:
    limits = {part.name: part.limit for part in gpu.essentials(tmp_path, None)}
    assert list(limits) == ROWS
    start = 20  # seconds until a GPU is found
    assert start + sum(limits.values()) <= 60 * gpu.ESSENTIAL_MINUTES
    assert 60 * gpu.ESSENTIAL_MINUTES + 2 * parts.GRACE <= 480


def test_the_other_calls_that_are_told_end_in_ten(tmp_path: Path) -> None:
    limits = {part.name: part.limit for part in gpu.others(tmp_path, None)}
    told = gpu.__doc__ or ""
    calls = [
        re.findall(r"--part (\w+)", line) for line in told.splitlines() if "OUT --part" in line
    ]
    assert calls.pop(0) == [gpu.ESSENTIALS]
    assert sorted(name for call in calls for name in call) == sorted(limits)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for call in calls:
        assert f"gpu.py measured --part {' --part '.join(call)}" in readme
        assert sum(limits[name] for name in call) <= 60 * gpu.MINUTES, call
    assert 60 * gpu.MINUTES + parts.GRACE < 600


def files(place: Path) -> list[Path]:
    return [place] if place.is_file() else list(place.glob("test_*.py"))


def test_every_part_is_a_command_that_exists(tmp_path: Path) -> None:
    from benchmarks import essentials

    wanted = [*gpu.essentials(tmp_path, tmp_path), *gpu.others(tmp_path, tmp_path)]
    measured, rows = set(), []
    for part in wanted:
        pairs = zip(part.words, part.words[1:], strict=False)
        measured |= {value for option, value in pairs if option == "--method"}
        assert all(Path(word).is_file() for word in part.words if word.endswith(".py"))
        if part.words[:2] == ("-m", "pytest"):
            places = [Path(word) for word in part.words if word.startswith(str(ROOT))]
            assert any("triton" in path.name for place in places for path in files(place))
            assert all(files(place) for place in places)
        if part.words[0].endswith("essentials.py"):
            rows.append(part.words[1])
            assert part.words[-2:] == ("--json", str(tmp_path / part.figures))
            official = ("--checkout", str(tmp_path)) in zip(
                part.words, part.words[1:], strict=False
            )
            assert official == (part.words[1] in essentials.BESIDE_AUTOLINK)
    methods = {name: load_method(name) for name in available("methods")}
    on_gpu = {name for name, method in methods.items() if isinstance(method, MovableMethod)}
    assert on_gpu <= measured <= methods.keys() - {"oracle"}
    assert len(on_gpu) >= 4
    assert rows == [*essentials.BESIDE_AUTOLINK, essentials.QUICK_TRAINING] == ROWS[:-1]


def test_without_a_checkout_a_row_says_that_it_is_of_kpbench_alone(tmp_path: Path) -> None:
    alone, beside = (gpu.essentials(tmp_path, folder) for folder in (None, tmp_path))
    for one, two in zip(alone[:4], beside[:4], strict=True):
        assert "kpbench alone" in one.what
        assert "--checkout" not in one.words
        assert "official AutoLink code" in two.what
    with pytest.raises(SystemExit):
        gpu.main([str(tmp_path), "--checkout", str(tmp_path / "nowhere")])


# Machines that lack something


def test_without_a_gpu_the_plan_is_told_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "gpu", lambda environment: "")
    monkeypatch.setattr(subprocess, "Popen", None)
    out = tmp_path / "out"
    assert gpu.main([str(out), "--part", "essentials"]) == 0
    told = capsys.readouterr().out
    for part in gpu.essentials(out, None):
        assert f"  {part.name}, {part.limit:g} s: {part.what}\n" in told
    assert "no GPU is at hand" in told
    assert "sweep" not in told
    assert told.endswith("nothing was measured and nothing written\n")
    assert not out.exists()


def test_a_gpu_is_what_pytorch_finds() -> None:
    with importable() as environment:
        if torch.cuda.is_available():
            assert gpu.gpu(environment) == torch.cuda.get_device_name()
        assert gpu.gpu({**environment, "CUDA_VISIBLE_DEVICES": ""}) == ""


def test_missing_packages_are_named_first_and_nothing_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: name != "sklearn" or None)
    monkeypatch.setattr(gpu, "gpu", lambda environment: "a GPU")
    out = tmp_path / "out"
    assert gpu.main([str(out)]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("needed beyond torch, torchvision, lightning: ")
    assert lines[1] == "missing: scikit-learn"
    assert re.findall(r"'(.*?)'", lines[3]) == ["scikit-learn>=1.5"]
    assert not out.exists()


def test_packages_are_those_of_the_project_without_what_is_given() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [line.partition("#")[0].strip() for line in project["dependencies"]]
    found = packages.needed()
    assert set(found.values()) < set(lines)
    assert {packages.name_of(line) for line in lines} - set(found) == set(packages.GIVEN)
    assert {"platformdirs", "rich", "typer", "pydantic", "pillow"} < set(found)
    assert packages.missing([*found, *packages.GIVEN]) == []
    assert packages.missing(["rich", "no-such-package"]) == ["no-such-package"]


def test_the_command_that_fetches_packages_is_for_another_machine() -> None:
    fetch, unpack = packages.download(["rich>=13", "typer>=0.15"]).splitlines()
    assert fetch.startswith("python -m pip download --dest wheels --only-binary :all: ")
    for words in ("--python-version 3.12", "--platform manylinux_2_28_x86_64", "'rich>=13'"):
        assert words in fetch
    assert "torch" not in fetch
    assert "zipfile -e" in unpack


# A checkout that is not installed

LOOK = """
import importlib.metadata, json, sys
import kpbench
from kpbench.registry import available, faults, load_method
print(json.dumps({
    "kpbench": kpbench.__file__,
    "version": importlib.metadata.version("kpbench"),
    "methods": sorted(available("methods")),
    "protocols": sorted(available("protocols")),
    "faults": [str(fault.error) for kind in ("methods", "protocols") for fault in faults(kind)],
    "module": type(load_method("autolink")).__module__,
}))
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a Python that has all packages but kpbench, and a copy of the checkout."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    [site] = (folder / "venv").glob("lib/python*/site-packages")
    for found in {Path(module.__file__ or "").parents[1] for module in (torch, pytest)}:
        for entry in found.iterdir():
            link = site / entry.name
            if "kpbench" not in entry.name and entry.suffix != ".pth" and not link.exists():
                link.symlink_to(entry)
    copy = folder / "checkout"
    copy.mkdir()
    for name in ("benchmarks", "kpbench", "methods", "protocols", "tests", "pyproject.toml"):
        copied = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copied(ROOT / name, copy / name)
    return folder / "venv" / "bin" / "python", copy


def test_a_checkout_runs_where_it_is_not_installed(bare: tuple[Path, Path]) -> None:
    interpreter, copy = bare
    outside = {"env": {**os.environ, "PYTHONPATH": ""}, "cwd": copy.parent}
    absent: Any = subprocess.run(
        [interpreter, "-c", "import kpbench"], capture_output=True, text=True, **outside
    )  # type: ignore[call-overload]
    assert "No module named 'kpbench'" in absent.stderr
    with importable(copy) as environment:
        done = subprocess.run(
            [interpreter, "-c", LOOK],
            env=environment,
            cwd=copy.parent,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert Path(found["kpbench"]).is_relative_to(copy)
    assert found["version"] == "0.1.0"
    assert found["methods"] == sorted(n for n, p in available("methods").items() if in_tree(p))
    assert found["protocols"] == sorted(n for n, p in available("protocols").items() if in_tree(p))
    assert found["faults"] == []
    assert found["module"].startswith("kpbench_methods.")


def in_tree(plugin: Plugin) -> bool:
    return plugin.module.startswith(("kpbench_methods.", "kpbench_protocols."))


def test_the_folder_that_makes_it_importable_is_gone_afterwards() -> None:
    with importable() as environment:
        first = Path(environment["PYTHONPATH"].split(os.pathsep)[0])
        assert (first / "kpbench_methods").is_symlink()
    assert not first.exists()
    assert (ROOT / "methods" / "autolink.py").is_file()


DETECTOR = """
import json, sys
from pathlib import Path
from benchmarks import essentials
from benchmarks.autolink.bench import Amount
from benchmarks.autolink.run import opened
from benchmarks.autolink.training import Plan
from kpbench.speed.training import Case

plan = Plan(Case("autolink", "smoke", pixels=128), 1, 1, 1, 1)
with opened(None, Amount(plan, 1, 1, 1), print) as opened_bench:
    [figures] = essentials.detector(*opened_bench)
Path(sys.argv[1]).write_text(json.dumps(figures))
"""
CALL_ON_A_CPU = """
import sys
sys.path.insert(0, {copy!r})
from pathlib import Path
from benchmarks import parts, uninstalled
out = Path({out!r})
part = parts.Part("detector", "", ("-c", {code!r}, str(out / "row.json")), 300, "row.json")
with uninstalled.importable() as environment:
    [ended] = parts.run_all([part], out, environment, 300)
sys.exit(ended.ended != "ok")
"""


def test_a_row_is_measured_where_kpbench_is_not_installed(bare: tuple[Path, Path]) -> None:
    """In small and on the CPU, in a process like those on a GPU."""
    interpreter, copy = bare
    out = copy.parent / "out"
    code = CALL_ON_A_CPU.format(copy=str(copy), out=str(out), code=DETECTOR)
    done = subprocess.run(
        [interpreter, "-c", code], cwd=copy.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [row] = summary(out)
    assert row["figures"]["setting"]["official code"] == "not given, so not measured"
    [figures] = row["figures"]["rows"]
    assert figures["images_per_s"]["kpbench"] > 0
    assert figures["official"] is None


def test_the_script_needs_nothing_but_python(tmp_path: Path) -> None:
    """Else it could not say which packages are missing."""
    script = ROOT / "benchmarks" / "gpu.py"
    done = subprocess.run(
        [sys.executable, "-S", "-E", str(script), str(tmp_path / "out"), "--part", "essentials"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "missing: torch, torchvision, lightning, annotated-types, " in done.stdout
    assert "no GPU is at hand" in done.stdout
    assert list(tmp_path.iterdir()) == []
