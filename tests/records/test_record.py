"""Records: names, round trips, atomic writing, old schemas, nothing about the machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kpbench.errors import RecordError, StorageError
from kpbench.records.made_by import newest, what_changed
from kpbench.records.record import (
    MIGRATIONS,
    SCHEMA,
    Failure,
    Identity,
    Record,
    Score,
    all_records,
    read_record,
)

FROZEN = Path(__file__).parent


def identity(**changes: Any) -> Identity:
    return Identity(
        **{
            "protocol": "people_background",
            "protocol_version": 1,
            "data": "0123",
            "method": "autolink",
            "method_version": 1,
            "params": {"steps": 3},
            "n_keypoints": 16,
            "seed": 0,
            "recipe": "quick",
            "device": "cpu",
            **changes,
        }
    )


def score(value: float = 9.5) -> Score:
    return Score(
        metric="normalised L2",
        unit="%",
        higher_is_better=False,
        oracle_used=False,
        value=value,
        ci95=(value - 1, value + 1),
        n_images=300,
        rank=33,
        n_features=33,
    )


def record(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "identity": identity(),
        "status": "ok",
        "evaluator": "people_background/strict",
        "supervision": "none",
        "scores": {"people_background/strict": score()},
    }
    return Record(**{**fields, **changes})


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2),
)


@given(st.dictionaries(st.text(min_size=1, max_size=3), values, max_size=2), st.data())
def test_different_params_get_different_files(params: dict[str, Any], data: st.DataObject) -> None:
    other = data.draw(st.dictionaries(st.text(min_size=1, max_size=3), values, max_size=2))
    same_text = json.dumps(params, sort_keys=True) == json.dumps(other, sort_keys=True)
    one, two = identity(params=params).digest(), identity(params=other).digest()
    assert (one == two) == same_text


def test_lists_and_decimals_do_not_share_a_file() -> None:
    names = {identity(params={"s": s}).stem(Path()) for s in ([0.5], [0, 5], [1], [-1], "1", 1)}
    assert len(names) == 6


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"recipe": "paper"}, {"device": "cuda"}, {"data": "4567"},
     {"method_version": 2}, {"protocol_version": 2}, {"n_keypoints": 10},
     {"dependency": identity(method="depth_teacher")}],
)  # fmt: skip
def test_every_field_is_part_of_the_identity(change: dict[str, Any]) -> None:
    assert identity(**change).digest() != identity().digest()


def test_round_trip(tmp_path: Path) -> None:
    path = record().save(tmp_path)
    assert path.parent == tmp_path / "people_background" / "autolink"
    assert path.name.startswith("quick-0-")
    assert read_record(path) == record()
    assert list(all_records(tmp_path)) == [record()]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_undefined_is_no_score(value: float) -> None:
    with pytest.raises(ValidationError):
        score(value)


def test_a_record_has_scores_or_an_error() -> None:
    with pytest.raises(ValidationError, match="else an error"):
        record(status="failed")
    with pytest.raises(ValidationError, match="else an error"):
        record(error=Failure(type="X", message="y"))
    with pytest.raises(ValidationError, match="default evaluator"):
        record(evaluator="people_background/autolink")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "corrupt"),
        ('{"schema": 99}', "corrupt"),
        ("", "cannot be read"),
    ],
)
def test_a_corrupt_record_says_where_and_what_to_do(tmp_path: Path, text: str, words: str) -> None:
    path = record().save(tmp_path)
    path.write_text(text)
    with pytest.raises(RecordError, match=words) as caught:
        read_record(path)
    assert str(path) in str(caught.value)
    assert "delete it and run again" in str(caught.value)  # which every command can follow


def test_an_edited_identity_is_noticed(tmp_path: Path) -> None:
    path = record().save(tmp_path)
    path.write_text(path.read_text().replace('"steps": 3', '"steps": 4'))
    with pytest.raises(RecordError, match="identity was edited"):
        read_record(path)


def test_crash_while_writing_leaves_the_old_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = record().save(tmp_path)
    before = path.read_bytes()

    def crash(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        record(scores={"people_background/strict": score(1.0)}).save(tmp_path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="choose a folder"):
        record().save(tmp_path / "file")


@pytest.mark.parametrize("path", sorted(FROZEN.glob("*/*/*/*.json")), ids=lambda p: p.parts[-4])
def test_records_of_every_old_schema_still_read(path: Path) -> None:
    found = read_record(path)
    assert found.status in ("ok", "failed")


def test_fields_that_came_later_are_empty_in_older_records() -> None:
    [old] = FROZEN.glob("*/people_background/autolink/quick-0-*.json")
    [new] = FROZEN.glob("*/people_taichi/random_detector/*.json")
    before, after = read_record(old), read_record(new)
    assert (before.equivariance, before.label_efficiency) == ({}, None)
    assert {score.resampled for score in before.scores.values()} == {"images"}
    assert {score.resampled for score in after.scores.values()} == {"identities"}
    assert set(after.equivariance) == {"rotation", "scale", "translation", "tps", "mirror"}
    assert after.label_efficiency is not None
    assert [p.n_labelled for p in after.label_efficiency.points] == [10, 30, 100, 300, 1000, 1500]


def test_there_is_a_frozen_record_of_every_schema() -> None:
    schemas = {json.loads(p.read_text())["schema"] for p in FROZEN.glob("*/*/*/*.json")}
    assert schemas == {*MIGRATIONS, SCHEMA} == {1, 2}


@pytest.mark.parametrize(
    ("method", "reference"),
    [("mean_shape", "floor"), ("random_detector", "other"), ("oracle", "ceiling"), ("mine", "")],
)
def test_what_is_a_reference_is_known_of_records_before_schema_2(
    tmp_path: Path, method: str, reference: str
) -> None:
    made = record(identity=identity(method=method))
    raw = json.loads(made.encoded())
    del raw["task"], raw["reference"]
    path = made.save(tmp_path)
    path.write_text(json.dumps({**raw, "schema": 1}))
    found = read_record(path)
    assert (found.task, found.reference) == ("image->2D", reference)
    assert found.identity.digest() == made.identity.digest()
    path.write_text(json.dumps({**raw, "schema": 2}))
    assert read_record(path).reference == "", "a new record says what it is"


def made(finished: str, torch: str = "2.15.0", **rooms: str) -> Record:
    told = {"finished": finished, "packages": {"torch": torch}}
    return record(provenance={**told, "kpbench": rooms} if rooms else told)


def changed(old: Record, *others: Record) -> list[str]:
    return what_changed(old.provenance, newest([*others, old]))


def test_a_record_is_compared_with_the_newest_module_by_module() -> None:
    old = made("2026-01-01", nn="edge=a resize=b", scoring="fit=c")
    assert changed(old, made("2026-01-02", nn="edge=a detector=z", scoring="fit=c")) == []
    assert changed(old, made("2026-01-02", nn="edge=a resize=b", scoring="fit=d")) == ["scoring"]
    assert changed(old, made("2026-01-02", nn="resize=x")) == ["nn"]
    assert changed(old, made("2025-12-31", nn="resize=x")) == [], "the other one is older"
    later = made("2026-01-03", nn="resize=b")
    assert changed(old, made("2026-01-02", nn="resize=x"), later) == [], "changed back"
    assert changed(old, made("2026-01-02", torch="2.16.1")) == ["torch 2.15 (now 2.16)"]
    assert changed(old, made("2026-01-02", torch="2.15.9+cu128")) == []


def test_of_records_that_do_not_say_nothing_is_known_to_differ() -> None:
    old = made("2026-01-01")
    assert changed(old, made("2026-01-02", nn="resize=x")) == []
    assert what_changed({}, newest([made("2026-01-02", nn="resize=x")])) == []
    assert what_changed(made("2026-01-02", nn="resize=x").provenance, {}) == []


def test_a_module_that_has_gone_is_a_change() -> None:
    old = made("2026-01-01", nn="edge=a resize=b", scoring="fit=c")
    assert what_changed(old.provenance, {"kpbench": {"scoring": "fit=c", "nn": "edge=a"}}) == ["nn"]
    assert what_changed(old.provenance, {"kpbench": {"nn": "edge=a resize=b"}}) == ["scoring"]
