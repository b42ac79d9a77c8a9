"""Measure on one GPU all speeds that are measured on GPUs, into one folder.

    python benchmarks/gpu.py OUT --part essentials --checkout AutoLink
    python benchmarks/gpu.py OUT --part against_autolink --part throughput --checkout AutoLink
    python benchmarks/gpu.py OUT --part sweep
    python benchmarks/gpu.py OUT --part other_methods --part rendering --part tests

The first measures what matters most in eight minutes, imports and compilation included, and is what
runs where no part is named. Each of the others ends within ten. It runs from a checkout, installed
or not, and says first which packages it needs. Where no GPU is at hand it says what it would
measure, and stops.

Every part has a time budget of its own, gets what those before it did not need, keeps figures as
they come, and leaves the others alone when it fails or runs out of time. OUT then holds
`summary.json` (how each part ended, in what time, and its figures; written anew after each part),
`log.txt` (all that was printed), the files of figures, and `everything.tar.gz` (all of these).
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

if __name__ == "__main__":  # run by its path, not as a module
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.packages import GIVEN, download, missing, needed
from benchmarks.parts import ARCHIVE, Part, run_all, say
from benchmarks.uninstalled import ROOT, importable

HERE = Path(__file__).resolve().parent
ESSENTIALS = "essentials"
MINUTES, ESSENTIAL_MINUTES = 9.5, 7.7
"""Of a call: less than the ten for which a machine may be lent, and less than eight."""
TESTS, ROOMS = ROOT / "tests", ("nn", "training", "speed", "people")
"""Those whose code has a path of its own on CUDA."""
ON_CUDA = ("cuda", "gpu", "triton")
"""What tests of that path are called after."""
PROBE = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"
PROBE_SECONDS = 60.0
ON_GPU = ("--device", "cuda")


def essentials(out: Path, checkout: Path | None) -> list[Part]:
    """Return what matters most, in order: in one call, each with the time that it has at least.

    Args:
        out: folder of the figures.
        checkout: of AutoLink; without it kpbench is measured alone.
    """
    beside = "kpbench alone" if checkout is None else "the official AutoLink code beside kpbench's"
    official = () if checkout is None else ("--checkout", str(checkout))

    def row(name: str, what: str, limit: float, words: tuple[str, ...] = ()) -> Part:
        figures = f"{name}.json"
        script = (str(HERE / "essentials.py"), name, *ON_GPU, *words)
        return Part(name, what, (*script, "--json", str(out / figures)), limit, figures)

    return [
        row(
            "training_step",
            f"AutoLink's training step, {beside}: batch 64, 128 px, K 16, VGG-16 at 224 px with "
            "random weights; images/s, share of the measured bf16 peak",
            160,
            official,
        ),
        row(
            "edge_map",
            f"the edge map forward and backward, {beside}; beside its formula at K 16 and 32",
            45,
            official,
        ),
        row("detector", f"the detector forward, {beside}", 35, official),
        row("test_loop", f"the test loop from memory, 7,744 images, {beside}", 55, official),
        row("quick_training", "the score of a quick training, on CUDA and on the CPU", 90),
        Part(
            "cuda_tests",
            "the tests of what runs on CUDA alone",
            (*_pytest(_naming(ON_CUDA)), "-k", " or ".join(ON_CUDA)),
            55,
            needs=("pytest", "hypothesis"),
        ),
    ]


def others(out: Path, checkout: Path | None) -> list[Part]:
    """Return what is measured by calls of its own.

    Args:
        out: folder of the figures.
        checkout: of AutoLink; without it the comparison ends by saying how to get one.
    """
    speed = (
        *("-m", "kpbench", "throughput", "--recipe", "paper", *ON_GPU),
        *("--precision", "bf16-mixed", "--save", str(out / "speed")),
    )
    methods = ("distill_dkp", "depth_teacher", "random_detector", "mean_shape")
    compared, rendered = "against_autolink.json", "rendering.json"
    return [
        Part(
            "against_autolink",
            "all parts of AutoLink beside the official code, whose results are compared first",
            (
                *(str(HERE / "against_autolink.py"), str(checkout or "AutoLink"), *ON_GPU),
                *("--json", str(out / compared)),
            ),
            345,
            compared,
        ),
        Part("throughput", "kpbench throughput of autolink", (*speed, "--method", "autolink"), 180),
        Part(
            "sweep",
            "a training step of autolink for K = 8 to 64 and 64 to 256 px",
            (*speed, "--method", "autolink", "--sweep"),
            570,
        ),
        Part(
            "other_methods",
            "kpbench throughput of the other methods",
            (*speed, *(word for name in methods for word in ("--method", name))),
            380,
        ),
        Part(
            "rendering",
            "rendering 2,048 people",
            (
                *(str(HERE / "rendering.py"), "--images", "2048", *ON_GPU),
                *("--json", str(out / rendered)),
            ),
            60,
            rendered,
        ),
        Part(
            "tests",
            "all tests of code that has a path of its own on CUDA",
            _pytest([TESTS / room for room in ROOMS]),
            120,
            needs=("pytest", "hypothesis", "onnx", "onnxruntime"),
        ),
    ]


def _pytest(where: Sequence[Path]) -> tuple[str, ...]:
    """Return a run of these tests that needs no plugin of pytest and leaves no cache."""
    options = ("-q", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib")
    return ("-m", "pytest", *options, *(str(place) for place in where))


def _naming(words: Sequence[str]) -> list[Path]:
    """Return the files of tests in which one of the words is: the others cost time to import."""
    files = sorted(path for room in ROOMS for path in (TESTS / room).glob("test_*.py"))
    texts = {path: f"{path.name} {path.read_text(encoding='utf-8')}".lower() for path in files}
    return [path for path, text in texts.items() if any(word in text for word in words)]


def chosen(names: Sequence[str], out: Path, checkout: Path | None) -> list[Part]:
    """Return the parts of these names, in order of importance, or the essentials.

    Raises:
        ValueError: there is no part of that name.
    """
    first = essentials(out, checkout)
    known = [*first, *others(out, checkout)]
    wanted = set(names or [ESSENTIALS])
    if unknown := sorted(wanted - {ESSENTIALS, *(part.name for part in known)}):
        names = [ESSENTIALS, *(part.name for part in known)]
        raise ValueError(f"no part {unknown[0]!r}; there are {', '.join(names)}")
    if ESSENTIALS in wanted:
        wanted |= {part.name for part in first}
    return [part for part in known if part.name in wanted]


def say_packages() -> bool:
    """Say what has to be there and what is not; return whether all of it is."""
    requirements = needed()
    say(f"needed beyond {', '.join(GIVEN)}: {', '.join(requirements)}")
    lacking = missing([*GIVEN, *requirements])
    say(f"missing: {', '.join(lacking) or 'none'}")
    say("for a machine without a network, on one that has it, and then there:")
    say(download(requirements[name] for name in lacking or requirements if name in requirements))
    return not lacking


def gpu(environment: Mapping[str, str]) -> str:
    """Return the GPU's name as PyTorch gives it; "" where it finds none."""
    if missing(["torch"]):
        return ""
    probe = [sys.executable, "-c", PROBE]
    try:
        done = subprocess.run(
            probe, env=environment, capture_output=True, text=True, timeout=PROBE_SECONDS
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip()


def say_plan(wanted: Sequence[Part], minutes: float) -> None:
    """Say what would be measured, and how much time each part has."""
    say(f"no GPU is at hand; on one this would measure, in {minutes:g} minutes at most:")
    for part in wanted:
        say(f"  {part.name}, {min(part.limit, 60 * minutes):.0f} s: {part.what}")
    say("nothing was measured and nothing written")


def main(words: Sequence[str] | None = None) -> int:
    """Measure; return 1 if a part did not end well, 2 if packages are missing."""
    start = time.monotonic()
    asked = _parsed(words)
    out: Path = asked.out.absolute()
    checkout = asked.checkout.absolute() if asked.checkout else None
    try:
        wanted = chosen(asked.part, out, checkout)
    except ValueError as error:
        say(f"gpu: {error}")
        return 2
    short = {part.name for part in wanted} <= {part.name for part in essentials(out, checkout)}
    minutes = asked.minutes or (ESSENTIAL_MINUTES if short else MINUTES)
    complete = say_packages()
    with importable() as environment:
        if not (name := gpu(environment)):
            say_plan(wanted, minutes)
            return 0
        if not complete:
            say("gpu: packages are missing, so nothing was measured")
            return 2
        say(f"on {name}, in {minutes:g} minutes at most")
        signal.signal(signal.SIGTERM, _terminated)
        left = 60 * minutes - (time.monotonic() - start)
        found = run_all(wanted, out, environment, left)
    say(f"all of it is in {out / ARCHIVE}")
    return int(any(ended.ended != "ok" for ended in found))


def _terminated(*_: object) -> NoReturn:
    """End as after Ctrl-C: the part that runs is ended too."""
    raise SystemExit(128 + signal.SIGTERM)


def _parsed(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the figures")
    parser.add_argument("--checkout", type=_folder, help="folder of the public AutoLink repository")
    parser.add_argument("--part", action="append", default=[], help="only this one; repeat")
    parser.add_argument("--minutes", type=float, help="for all parts together")
    return parser.parse_args(words)


def _folder(name: str) -> Path:
    if not (path := Path(name)).is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {name}")
    return path


if __name__ == "__main__":
    sys.exit(main())
