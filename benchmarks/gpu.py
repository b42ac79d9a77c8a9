"""Measure on one GPU all that is measured on GPUs, into one folder.

    python benchmarks/gpu.py OUT --checkout AutoLink
    python benchmarks/gpu.py OUT --part sweep
    python benchmarks/gpu.py OUT --part other_methods --part rendering --part tests

Each of these ends within ten minutes, for a machine that is lent for no longer; the first has time
for the parts that matter most. Every part has a time limit of its own (the last one gets all that
is left), keeps figures as they come, and leaves the others alone when it fails or runs out of time.
OUT then holds `summary.json` (what ran, how it ended and in what time), `log.txt` (all that was
printed), the files of figures, and `everything.tar.gz` (all of these in one file, written anew
after each part).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Annotated

import typer

ROOT = Path(__file__).resolve().parents[1]
ARCHIVE = "everything.tar.gz"
MINUTES = 9.5
"""Of a call: less than the ten for which a machine may be lent."""
GRACE = 5.0
"""Seconds that a part has to end when its time is over."""
TESTS = ("test_nn_*.py", "test_training*.py", "test_people_r*.py", "test_people_dataset.py")
"""Those whose code has a path of its own on CUDA."""
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Part:
    """One measurement.

    Attributes:
        name: of the part.
        words: arguments of the Python interpreter.
        limit: seconds.
    """

    name: str
    words: tuple[str, ...]
    limit: float


@dataclass(frozen=True)
class Ended:
    """How a part ended.

    Attributes:
        name: of the part.
        ended: "ok", "failed with CODE", "out of time" or "no time left".
        seconds: that it took.
    """

    name: str
    ended: str
    seconds: float


def parts(out: Path, checkout: Path | None) -> list[Part]:
    """Return what is measured, in order; the last ones go without when time is short.

    Args:
        out: folder of the figures.
        checkout: of AutoLink; without it the comparison ends by saying how to get one.
    """
    here = Path(__file__).parent
    on_gpu = ("--device", "cuda")
    speed = (
        *("-m", "kpbench", "throughput", "--recipe", "paper", *on_gpu),
        *("--precision", "bf16-mixed", "--save", str(out / "speed")),
    )
    others = ("distill_dkp", "depth_teacher", "random_detector", "mean_shape")
    tests = [str(path) for pattern in TESTS for path in sorted((ROOT / "tests").glob(pattern))]
    return [
        Part(
            "against_autolink",
            (
                *(str(here / "against_autolink.py"), str(checkout or "AutoLink"), *on_gpu),
                *("--json", str(out / "against_autolink.json")),
            ),
            345,
        ),
        Part(
            "edge_map",
            (str(here / "edge_map.py"), *on_gpu, "--json", str(out / "edge_map.json")),
            45,
        ),
        Part("throughput", (*speed, "--method", "autolink"), 180),
        Part("sweep", (*speed, "--method", "autolink", "--sweep"), 570),
        Part(
            "other_methods",
            (*speed, *(word for name in others for word in ("--method", name))),
            380,
        ),
        Part(
            "rendering",
            (
                *(str(here / "rendering.py"), "--images", "2048", *on_gpu),
                *("--json", str(out / "rendering.json")),
            ),
            60,
        ),
        Part("tests", ("-m", "pytest", "-q", *tests), 120),
    ]


def run(part: Part, log: IO[bytes], limit: float) -> Ended:
    """Run a part and what it starts; all of it has ended when this returns.

    Args:
        part: what.
        log: gets what it prints.
        limit: seconds.
    """
    log.write(f"\n===== {part.name}: python {' '.join(part.words)}\n".encode())
    log.flush()
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *part.words],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        code = process.wait(limit)
        ended = f"failed with {code}" if code else "ok"
    except subprocess.TimeoutExpired:
        ended = "out of time"
    finally:
        _stop(process)
    return Ended(part.name, ended, round(time.monotonic() - start, 1))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started, which share its session."""
    for number, wait in ((signal.SIGTERM, GRACE), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
            process.wait(wait)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def run_all(wanted: Sequence[Part], out: Path, seconds: float) -> list[Ended]:
    """Run the parts one after the other, and keep what each wrote before the next one starts.

    Args:
        wanted: the parts.
        out: folder of the figures, those of other parts included.
        seconds: for all of them.
    """
    out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + seconds
    found: list[Ended] = []
    before = _earlier(out / "summary.json", wanted)
    with (out / "log.txt").open("ab") as log:
        for part in wanted:
            left = deadline - time.monotonic()
            limit = left if part is wanted[-1] else min(part.limit, left)
            ended = run(part, log, limit) if limit > 0 else Ended(part.name, "no time left", 0.0)
            typer.echo(f"{ended.name}: {ended.ended}, {ended.seconds:.0f} s")
            found.append(ended)
            summary = json.dumps([*before, *(asdict(e) for e in found)], indent=1)
            (out / "summary.json").write_text(f"{summary}\n", encoding="utf-8")
            log.flush()
            _pack(out)
    return found


def _earlier(summary: Path, wanted: Sequence[Part]) -> list[dict[str, object]]:
    """Return how the parts ended that were run before and are not run now."""
    with suppress(OSError, ValueError):
        again = {part.name for part in wanted}
        return [e for e in json.loads(summary.read_bytes()) if e["name"] not in again]
    return []


def _pack(out: Path) -> None:
    partial = out / f"{ARCHIVE}.partial"
    with tarfile.open(partial, "w:gz") as archive:
        for path in sorted(p for p in out.rglob("*") if p.is_file()):
            if not path.name.startswith(ARCHIVE):
                archive.add(path, path.relative_to(out))
    partial.replace(out / ARCHIVE)


@app.command()
def main(
    out: Annotated[Path, typer.Argument(help="Folder of the figures.")],
    checkout: Annotated[
        Path | None, typer.Option(help="Folder of the public AutoLink repository.")
    ] = None,
    part: Annotated[list[str] | None, typer.Option(help="Only this one; repeat.")] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="For all parts together.")] = MINUTES,
) -> None:
    """Measure on one GPU all that is measured on GPUs."""
    out = out.absolute()
    known = parts(out, checkout.absolute() if checkout else None)
    names = [one.name for one in known]
    if unknown := sorted(set(part or ()) - set(names)):
        raise typer.BadParameter(f"no part {unknown[0]!r}; there are {', '.join(names)}")
    wanted = [one for one in known if not part or one.name in part]
    found = run_all(wanted, out, 60 * minutes)
    typer.echo(f"all of it is in {out / ARCHIVE}")
    raise typer.Exit(int(any(ended.ended != "ok" for ended in found)))


if __name__ == "__main__":
    app()
