"""Calls with mistakes in them: `pytest tests/benchmarks/test_fuzz.py --benchmark-only -s`.

A thousand calls of the command line, and a thousand of `kpbench score` on files of which it is
known what has to be said of them. None may end in a traceback or hang; the counts are printed.
"""

from __future__ import annotations

import io
import json
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

from kpbench.api import Array
from kpbench.cli.main import main

CALLS = 1000
LIMIT = 60.0
"""Seconds that a call may take; the slowest right one trains three steps of a tiny network."""
GOLDEN = Path(__file__).parents[1] / "golden" / "evaluators.npz"
GROUPS = {"celeba": "celeba/imm", "taichi": "taichi/siarohin"}
Arrays = dict[str, Array]
Draw = np.random.Generator


class HungError(BaseException):
    """A call took longer than the limit; no `except Exception` takes it for a fault."""


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[list[str]], tuple[object, str]]]:
    """Return what calls the command line in an empty folder: exit code, or what went wrong."""
    for name in ("CACHE", "CONFIG"):
        monkeypatch.setenv(f"KPBENCH_{name}", str(tmp_path / name.lower()))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def hung(*_: object) -> None:
        raise HungError

    before = signal.signal(signal.SIGALRM, hung)

    def called(words: list[str]) -> tuple[object, str]:
        said = io.BytesIO()
        shown = io.TextIOWrapper(said, encoding="utf-8", write_through=True)
        signal.setitimer(signal.ITIMER_REAL, LIMIT)
        try:
            with redirect_stdout(shown), redirect_stderr(shown):
                code: object = main(words)
        except HungError:
            code = "hung"
        except BaseException as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            code = f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return code, said.getvalue().decode(errors="replace")

    yield called
    signal.signal(signal.SIGALRM, before)


# The command line

WORDS = (
    *("", " ", "-1", "0", "3", "1e999", "NaN", "²", "0-99999999999", "18446744073709551616", "é"),
    *("猫", "x" * 300, "[/x]", "a[b=1]", "..", "/", "\udcff", "--", "-x", "a\nb", "%s", "{}", "*"),
    *(
        "autolink",
        "autolnk",
        "people_plain",
        "lips",
        "celeba/imm",
        "images",
        "photo.png",
        "mine.npz",
    ),
    *(
        "clip.mp4",
        "no_such",
        "true",
        "null",
        "1,2",
        "-1,1",
        "0,3,5-7",
        "smoke",
        "paper",
        "cpu",
        "cuda",
    ),
    *(
        "bf16",
        "autolink.steps=NaN",
        "autolink.steps=",
        "autolink.flip=maybe",
        "autolink.batch_size=2.5",
    ),
    *(
        "autolink.image_size=0",
        "lips.k=0",
        "lips.images=true",
        "a=b=c",
        "=",
        "steps=3",
        "autolink.steps",
    ),
)
NO_DATA = ("lips", "taichi", "celeba_wild", "human36m", "no_such", "lisp")
"""Protocols whose images are not there, so that no call takes long; and names of none."""
METHODS = ("mean_shape", "autolink", "distill_dkp", "mask_centroid", "no_such", "autolnk")
COMMANDS: dict[str, tuple[str, ...]] = {
    "list": ("--json",),
    "show": ("--json", "--recipe"),
    "score": ("--evaluator", "--group", "--all-evaluators", "--range", "--landmark-range",
              "--json"),
    "evaluate": ("--recipe", "--seeds", "--results", "--set", "--jobs", "--device", "--precision",
                 "--rerun", "--train-on", "--test-on", "--pretrained", "--verbose"),
    "train": ("--images", "--output", "-k", "--size", "--seed", "--role", "--recipe", "--set",
              "--device", "--precision", "--protocol"),
    "predict": ("--method", "--protocol", "--model", "--results", "--output", "--overlay"),
    "export": ("--onnx", "--torch", "--weights", "--results", "-p"),
    "disagreement": ("--seed", "--recipe", "--results", "--json"),
    "leaderboard": ("--folder", "--results", "--output", "--check", "--pictures"),
    "data": ("--recipe", "--json", "--k", "--crop", "--normaliser", "--unit", "--split", "--test"),
    "new": ("--trained", "--output"),
}  # fmt: skip
GOOD = {
    "--recipe": ("smoke",), "--evaluator": ("celeba/imm", "celeba/strict"), "--group": ("celeba",),
    "--range": ("-1,1", "0,1"), "--landmark-range": ("0,1",), "--seeds": ("0", "0,1"),
    "--results": ("results",), "--set": ("autolink.steps=2", "lips.k=4"), "--jobs": ("1",),
    "--device": ("cpu", "auto"), "--precision": ("auto", "fp32"), "--train-on": ("taichi",),
    "--test-on": ("lips",), "-k": ("4",), "--size": ("32",), "--seed": ("1",),
    "--role": ("taichi",), "--method": ("distill_dkp",), "--model": ("model",),
    "--protocol": ("people_background",), "--output": ("out",),
    "--onnx": ("d.onnx",), "--torch": ("d.pt2",), "--folder": (".",),
    "-p": ("people_background",), "--k": ("3",), "--crop": ("whole",), "--unit": ("px",),
    "--split": ("frame",),
}  # fmt: skip
FLAGS = ("--json", "--all-evaluators", "--pretrained", "--verbose", "--overlay", "--check",
         "--pictures", "--trained")  # fmt: skip
NAMED = {
    "score": ("mine.npz",), "predict": ("photo.png", "images", "clip.mp4"),
    "show": ("autolink", "people_plain", "celeba/imm"), "export": ("distill_dkp", "autolink"),
    "disagreement": ("autolink people_plain",), "new": ("wheel",), "data": ("lips", "celeba ."),
}  # fmt: skip
SUBCOMMANDS = {
    "data": ("list", "info", "path", "verify", "prepare", "add", "remove", "depth"),
    "new": ("method", "protocol"),
    "list": ("", "methods", "protocols", "evaluators", "recipes", "no_such"),
}


def some_call(draw: Draw) -> list[str]:
    """Return the words of a call: mostly of the right form, with any values."""
    command = str(draw.choice(list(COMMANDS)))
    words = [command]
    if command in SUBCOMMANDS:
        words += [word for word in (str(draw.choice(SUBCOMMANDS[command])),) if word]
    if command == "evaluate":
        words += ["-p", str(draw.choice(NO_DATA)), "-m", str(draw.choice(METHODS))]
    elif command == "train":
        words += [str(draw.choice(METHODS)), "--images", "images", "--output", "model"]
        words += ["--recipe", "smoke"]
    elif command in NAMED and draw.random() < 0.85:
        words += str(draw.choice(NAMED[command])).split()
    elif command in NAMED:
        words += [word(draw) for _ in range(draw.integers(0, 3))]
    for option in map(str, draw.choice(COMMANDS[command], draw.integers(0, 4))):
        words.append(option)
        if option in GOOD and draw.random() < 0.85:
            words.append(str(draw.choice(GOOD[option])))
        elif option not in FLAGS or draw.random() < 0.1:
            words.append(word(draw))
    return words


def word(draw: Draw) -> str:
    return WORDS[draw.integers(len(WORDS))]


def write_inputs(folder: Path) -> None:
    """Write what calls may name: two images, a file that is none, detections."""
    (folder / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    for i, each in enumerate(pixels):
        Image.fromarray(each).save(folder / "images" / f"{i}.png")
    Image.fromarray(pixels[0]).save(folder / "photo.png")
    (folder / "images" / "broken.png").write_bytes(b"no image")
    (folder / "clip.mp4").write_bytes(b"no video")
    np.savez(folder / "mine.npz", **golden("celeba"))  # type: ignore[arg-type]


def test_no_call_of_the_command_line_ends_in_a_traceback(
    benchmark: BenchmarkFixture, call: Callable[[list[str]], tuple[object, str]]
) -> None:
    write_inputs(Path.cwd())

    def campaign() -> list[tuple[object, list[str], float]]:
        draw, found = np.random.default_rng(0), []
        for _ in range(CALLS):
            words, start = some_call(draw), time.monotonic()
            code, text = call(words)
            if "Traceback (most recent call last)" in text:
                code = "printed a traceback"
            found.append((code, words, time.monotonic() - start))
        return found

    found = benchmark.pedantic(campaign, rounds=1)  # type: ignore[no-untyped-call]
    codes = dict(Counter(code for code, _, _ in found if code in (0, 1, 2)))
    slowest = max(seconds for _, _, seconds in found)
    sys.stdout.write(f"\n{CALLS} calls: exit codes {codes}, the slowest {slowest:.1f} s\n")
    assert [(code, words) for code, words, _ in found if code not in (0, 1, 2)] == []


# Files of detections


def golden(group: str) -> Arrays:
    """Return detections and labels that are right."""
    with np.load(GOLDEN) as arrays:
        names = [name for name in arrays.files if name.startswith(f"{group}/")]
        return {name.partition("/")[2]: arrays[name] for name in names}


def of(content: Arrays, draw: Draw, kinds: tuple[str, ...] = ("keypoints", "landmarks")) -> str:
    """Return the name of one array."""
    return f"{draw.choice(['train', 'test'])}_{draw.choice(kinds)}"


def another_unit(content: Arrays, draw: Draw) -> Arrays:
    kind = draw.choice(["keypoints", "landmarks"])
    scale, shift = [(2, -1), (1, -0.5), (128, 0), (256, -0.5), (float(draw.uniform(3, 999)), 0)][
        draw.integers(5)
    ]
    return {k: v * scale + shift if str(kind) in k else v for k, v in content.items()}


def no_number(content: Arrays, draw: Draw) -> Arrays:
    name = of(content, draw)
    values = content[name].astype(float)
    values.ravel()[draw.integers(values.size, size=draw.integers(1, 9))] = draw.choice(
        [np.nan, np.inf, -np.inf]
    )
    visible = name.replace(name.partition("_")[2], "visible")
    return {**{k: v for k, v in content.items() if k != visible}, name: values}


def marked(content: Arrays, draw: Draw) -> Arrays:
    mark = [(-1, -1), (-1 / 256, -1 / 256), (0, 0), (0.5, 0.5), (1, 1)][draw.integers(5)]
    name = f"{draw.choice(['train', 'test'])}_landmarks"
    values = content[name].copy()
    values[draw.random(values.shape[:2]) < draw.uniform(0.15, 0.6)] = mark
    visible = name.replace("landmarks", "visible")
    return {**{k: v for k, v in content.items() if k != visible}, name: values}


def another_shape(content: Arrays, draw: Draw) -> Arrays:
    name = of(content, draw)
    values = content[name]
    changed = [
        values[0], values[..., :1], values.reshape(len(values), -1), values[:-1], values[None],
        values.transpose(0, 2, 1), np.concatenate([values, values[..., :1]], -1), values[:0],
        values[:, :-1], values.sum(), values.transpose(1, 0, 2),
    ][draw.integers(11)]  # fmt: skip
    return {**content, name: np.asarray(changed)}


def another_type(content: Arrays, draw: Draw) -> Arrays:
    name = of(content, draw)
    kind = str(draw.choice(["U8", "O", "c16", "?", "S4"]))
    return {**content, name: content[name].astype(kind)}


def missing(content: Arrays, draw: Draw) -> Arrays:
    name = of(content, draw)
    rest = {k: v for k, v in content.items() if k != name}
    other = ["train_kps", f"{name}s", name.upper(), f"x/{name}"][draw.integers(4)]
    return {**rest, other: content[name]}


def wrong_flags(content: Arrays, draw: Draw) -> Arrays:
    split = draw.choice(["train", "test"])
    shape = content[f"{split}_landmarks"].shape[:2]
    flags = [
        draw.integers(0, 3, shape), np.where(draw.random(shape) < 0.1, np.nan, 1.0), np.array(1),
        np.ones(shape[1]), np.ones((shape[0], shape[1] + 1)), draw.uniform(0, 1, shape),
        np.full(shape, "yes"), -np.ones(shape),
    ][draw.integers(8)]  # fmt: skip
    return {**content, f"{split}_visible": flags}


def copied(content: Arrays, draw: Draw) -> Arrays:
    """All test rows are training rows."""
    rows = draw.permutation(len(content["test_keypoints"]))
    return content | {
        f"test_{k.partition('_')[2]}": v[rows % len(v)]
        for k, v in content.items()
        if k.startswith("train_")
    }


REFUSED = (
    another_unit, no_number, marked, another_shape, another_type, missing, wrong_flags, copied,
)  # fmt: skip


def in_another_order(content: Arrays, draw: Draw) -> Arrays:
    found: Arrays = {}
    for split in ("train", "test"):
        order = draw.permutation(len(content[f"{split}_keypoints"]))
        found |= {k: v[order] for k, v in content.items() if k.startswith(split)}
    return found


def keypoints_in_another_order(content: Arrays, draw: Draw) -> Arrays:
    order = draw.permutation(content["train_keypoints"].shape[1])
    return {k: v[:, order] if k.endswith("keypoints") else v for k, v in content.items()}


def with_more_arrays(content: Arrays, draw: Draw) -> Arrays:
    return {**content, "notes": draw.random(3), "train_names": np.array(["a", "b"])}


def of_wider_numbers(content: Arrays, draw: Draw) -> Arrays:
    return {k: v.astype(np.longdouble) if v.dtype.kind == "f" else v for k, v in content.items()}


RIGHT = (in_another_order, keypoints_in_another_order, with_more_arrays, of_wider_numbers)


def damaged(path: Path, draw: Draw) -> None:
    """Cut or change a file; it may still be read, and is then what it was or refused."""
    data = bytearray(path.read_bytes())
    if draw.random() < 0.5:
        path.write_bytes(bytes(data[: draw.integers(len(data))]))
        return
    for at in draw.integers(len(data), size=draw.integers(1, 30)):
        data[at] = draw.integers(256)
    path.write_bytes(bytes(data))


def test_no_score_of_input_that_is_not_what_it_claims_to_be(
    benchmark: BenchmarkFixture, call: Callable[[list[str]], tuple[object, str]]
) -> None:
    right = {}
    for group, evaluator in GROUPS.items():
        np.savez("right.npz", **golden(group))  # type: ignore[arg-type]
        right[group] = value_of(*call(["score", "right.npz", "--evaluator", evaluator, "--json"]))

    def campaign() -> tuple[Counter[str], list[str]]:
        draw, counts, faults = np.random.default_rng(1), Counter[str](), []
        for _ in range(CALLS):
            group = str(draw.choice(list(GROUPS)))
            change = (*REFUSED, *RIGHT, None)[draw.integers(len(REFUSED) + len(RIGHT) + 1)]
            content = golden(group) if change is None else change(golden(group), draw)
            np.savez("mine.npz", **content)  # type: ignore[arg-type]
            if change is None:
                damaged(Path("mine.npz"), draw)
            words = ["score", "mine.npz", "--evaluator", GROUPS[group], "--json"]
            code, text = call(words)
            found = "refused" if code == 2 else "scored" if code == 0 else str(code)
            if found == "scored" and value_of(code, text) != pytest.approx(right[group], rel=1e-6):
                found = "scored otherwise"
            name = "damaged" if change is None else change.__name__
            counts[f"{name}: {found}"] += 1
            allowed = ("refused",) if change in REFUSED else ("scored",)
            if found not in (("refused", "scored") if change is None else allowed):
                faults.append(f"{name} of {group}: {found}: {text[:300]}")
        return counts, faults

    counts, faults = benchmark.pedantic(campaign, rounds=1)  # type: ignore[no-untyped-call]
    sys.stdout.writelines(f"\n{count:5} {name}" for name, count in sorted(counts.items()))
    assert faults == []


def value_of(code: object, text: str) -> float:
    assert code == 0, text
    found = json.loads(text[text.index("{") :])
    return float(found["value"])
