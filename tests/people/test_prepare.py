"""Rendering ahead of the runs: `kpbench data prepare` of rendered protocols, chunks in groups."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from kpbench.api import Array
from kpbench.cli.main import main
from kpbench.people import dataset, parallel
from kpbench.people.dataset import RenderedSet, prepare
from kpbench.people.picture import render
from kpbench.people.picture.render import CHUNK, Chunk, Renderer
from kpbench.people.protocol import PeopleProtocol
from kpbench.people.scene.sampler import PeopleSettings
from kpbench.registry import load_protocol

from .settings import CROWDED, GREY, LABORATORY, LIGHT, SNAPSHOTS

Run = Callable[..., tuple[int, str]]
CPU = torch.device("cpu")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("KPBENCH_CACHE", str(tmp_path / "cache"))

    def call(*words: str) -> tuple[int, str]:
        code = main(["data", "prepare", *words])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return call


def bytes_of(chunk: Chunk) -> list[bytes]:
    return [getattr(chunk, field.name).tobytes() for field in fields(chunk)]


@pytest.mark.parametrize(
    ("settings", "moment"),
    [
        (CROWDED, 0),
        (CROWDED, 1),
        (SNAPSHOTS, 0),
        (LABORATORY, 0),
        (LIGHT, 1),
    ],
)
def test_images_rendered_together_are_those_rendered_alone(
    settings: PeopleSettings, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: all images of several chunks in every operation, some rooms drawn again."""
    found = []
    for images in (1, 2 * CHUNK):
        monkeypatch.setitem(render.SAMPLES_AT_ONCE, "cpu", images * 48**2)
        renderer = Renderer(settings, "train", 16, CPU)
        assert renderer.images_at_once == images
        found.append([bytes_of(c) for c in renderer.chunks([2, 0], moment)])
    assert found[0] == found[1]
    assert found[0][1] == bytes_of(Renderer(settings, "train", 16, CPU).chunk(0, moment))
    assert found[0][0] != found[0][1]


def test_chunks_come_in_order_however_they_are_grouped(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = RenderedSet(GREY, "test", 5 * CHUNK, 16)
    alone = [bytes_of(c) for c in parallel.render_chunks(wanted, [4, 0, 3, 1, 2], workers=2)]
    monkeypatch.setitem(render.SAMPLES_AT_ONCE, "cpu", 2 * CHUNK * 48**2)
    asked = []
    real = Renderer.chunks

    def noted(self: Renderer, numbers: list[int], moment: int = 0) -> list[Chunk]:
        asked.append(list(numbers))
        return real(self, numbers, moment)

    monkeypatch.setattr(Renderer, "chunks", noted)
    grouped = [bytes_of(c) for c in parallel.render_chunks(wanted, [4, 0, 3, 1, 2], workers=2)]
    assert sorted(asked) == [[2], [3, 1], [4, 0]]
    assert grouped == alone


@pytest.mark.filterwarnings("ignore:Failed to inspect CPU affinity")
def test_rendering_needs_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS and Windows."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    [chunk] = parallel.render_chunks(RenderedSet(GREY, "test", CHUNK, 16), [0])
    assert len(chunk.images) == CHUNK


def test_prepared_images_are_those_that_a_run_loads(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, text = run("people_fashion", "--recipe", "smoke")
    assert code == 0, text
    lines = [line for line in text.splitlines() if line]
    assert [line.split(":")[0] for line in lines] == [
        f"people_fashion {split}" for split in ("train", "test", "validation")
    ]
    for line, count in zip(lines, (96, 24, 16), strict=True):
        assert f"{count} images in {tmp_path}" in line and f"({count} rendered, " in line
        assert float(line.split(" rendered, ")[1].split(" images/s")[0]) > 0

    def fail(*_: object, **__: object) -> Iterator[Chunk]:
        raise AssertionError("rendered again")

    monkeypatch.setattr(parallel, "render_chunks", fail)
    protocol = load_protocol("people_fashion")
    splits = protocol.splits("smoke")
    assert len(splits.regression.images.images) == 96
    code, text = run("people_fashion", "--recipe", "smoke")
    assert code == 0 and text.count("(there already)") == 3
    code, text = run("people_fashion", "--recipe", "smoke", "--argument", "split=validation")
    assert code == 0 and text.count("(there already)") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("people_plane",), "did you mean people_plain"),
        (("people_plain", "--recipe", "full"), "no recipe called 'full'"),
        (("people_plain", "--argument", "splits=test"), "did you mean split"),
        (("people_plain", "--argument", "split=train"), "no value of split called 'train'"),
        (("people_plain", "--device", "gpu"), "no device called 'gpu'"),
    ],
)
def test_mistakes_are_named(run: Run, words: tuple[str, ...], said: str) -> None:
    code, text = run(*words)
    assert code == 2 and said in text, text


def test_a_protocol_that_makes_its_data_when_loaded_has_nothing_to_prepare(
    run: Run, toy_discs: str
) -> None:
    code, text = run(toy_discs)
    assert code == 2
    assert "toy_discs makes its data whenever it is loaded; nothing to prepare" in text


def test_only_what_was_missing_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KPBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(dataset, "SHARD_CHUNKS", 1)
    wanted = RenderedSet(GREY, "test", 40, 16)

    def kill(done: int, total: int, text: str) -> None:
        if done >= 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(wanted, kill)
    made = prepare(wanted)
    assert made.images == 24 and made.seconds > 0
    again = prepare(wanted)
    assert again.images == 0 and again.seconds == 0


def test_what_is_prepared_is_what_splits_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """For every recipe, with test and validation images, on either device."""
    from kpbench.people import protocol as module

    loaded: list[RenderedSet] = []

    def note(wanted: RenderedSet, *_: object) -> dict[str, Array]:
        loaded.append(wanted)
        return real(RenderedSet(wanted.settings, wanted.split, 16, 16))

    real = dataset.load
    monkeypatch.setattr(module, "load", note)
    plain = load_protocol("people_plain")
    assert isinstance(plain, PeopleProtocol)
    for protocol in (plain, plain.configured({"split": "validation"})):
        for recipe in ("smoke", "quick", "paper"):
            loaded.clear()
            protocol.splits(recipe, device="cuda")
            prepared = protocol.rendered(recipe, "cuda")
            assert set(loaded) == set(prepared.values())
            assert [wanted.split for wanted in prepared.values()] == list(prepared)
