"""Speed records on disk: whole, of this schema, under their own name, or an error in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kpbench.errors import RecordError
from kpbench.speed.record import (
    SpeedRecord,
    Sweep,
    all_speed_records,
    read_speed_record,
)


def spread(median: float) -> dict[str, Any]:
    return {"median_ms": median, "p05_ms": 0.9 * median, "p95_ms": 1.5 * median, "repeats": 20}


def speed_record(method: str = "good", **changes: Any) -> SpeedRecord:
    """Return a record made by hand; `changes` replace fields."""
    found: dict[str, Any] = {
        "schema": 1,
        "method": method,
        "method_version": 1,
        "recipe": "quick",
        "params": {"gain": 4.0},
        "n_keypoints": 4,
        "pixels": 64,
        "device": "cpu",
        "device_name": "A CPU (TM) 9000",
        "precision": "32-true",
        "threads": 2,
        "inference": [
            {"batch": 1, "images_per_s": 100.0, "time": spread(10.0), "share_of_peak": 0.1},
            {"batch": 64, "images_per_s": 1234.0, "time": spread(51.9), "share_of_peak": 0.5},
        ],
        "memory": {"how": "guessed", "training_mib": 10.0, "inference_batch": 64},
        "size": {"kept": 7, "trained": 9, "predict": {"recipe": 0.25, "computed": 0.125}},
        "finished": "2026-11-21T09:41:44Z",
        "provenance": {"commit": "0123456789abcdef", "cores": 2, "packages": {"torch": "2.15.0"}},
    }
    return SpeedRecord.model_validate({**found, **changes})


def a_sweep() -> Sweep:
    cell = {"n_keypoints": 8, "pixels": 64, "batch": 16, "time": spread(50.0)}
    cells = [{**cell, "peak_memory_mib": 123.0, "edge_map_ms": 5.0}, {**cell, "pixels": 128}]
    return Sweep.model_validate({"finished": "2026-11-20T00:00:00Z", "commit": "f", "cells": cells})


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    record = speed_record(sweep=a_sweep())
    path = record.save(tmp_path)
    assert path.name == "good-quick-a-cpu-tm-9000.json"
    assert read_speed_record(path) == record
    assert list(all_speed_records(tmp_path)) == [record]
    assert (record.first.batch, record.best.batch) == (1, 64)


def test_of_equal_speeds_the_smaller_batch_is_best() -> None:
    rows = [{"batch": b, "images_per_s": 5.0, "time": spread(200.0 * b)} for b in (4, 2)]
    assert speed_record(inference=rows).best.batch == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threads": 0}, "threads"),
        ({"inference": []}, "inference"),
        ({"surprise": 1}, "surprise"),
        ({"schema": 2}, "schema"),
        ({"size": {"kept": 1, "predict": {"recipe": float("inf"), "computed": 0}}}, "finite"),
        ({"device_name": ""}, "device_name"),
        ({"method": "other"}, "belongs to other-quick-a-cpu-tm-9000.json"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    path = speed_record().save(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(RecordError, match=words) as raised:
        read_speed_record(path)
    assert path.name in str(raised.value)
    assert "kpbench throughput --save" in str(raised.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "\udcff"])
def test_what_is_no_json_is_said(tmp_path: Path, text: str) -> None:
    path = speed_record().save(tmp_path)
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(RecordError, match="speed record"):
        list(all_speed_records(tmp_path))


def test_a_sweep_is_kept_until_there_is_a_new_one(tmp_path: Path) -> None:
    first = speed_record(sweep=a_sweep())
    path = first.save(tmp_path)
    speed_record(threads=1).save(tmp_path)
    found = read_speed_record(path)
    assert (found.threads, found.sweep) == (1, first.sweep)
    newer = a_sweep().model_copy(update={"commit": "newer"})
    speed_record(sweep=newer).save(tmp_path)
    assert read_speed_record(path).sweep == newer


def test_a_corrupt_file_does_not_cost_what_was_measured(tmp_path: Path) -> None:
    path = speed_record().save(tmp_path)
    path.write_text("{")
    speed_record().save(tmp_path)
    assert read_speed_record(path) == speed_record()
