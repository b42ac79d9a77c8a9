"""Whether a kept record is still good, and what has changed since it was made."""

from __future__ import annotations

from dataclasses import dataclass

from kpbench.errors import RecordError
from kpbench.records.made_by import what_changed
from kpbench.records.record import Record, read_record
from kpbench.running.provenance import packages
from kpbench.running.resolve import Run


@dataclass(frozen=True)
class Kept:
    """The record to reuse, or None, and why."""

    record: Record | None
    reason: str


def kept(run: Run) -> Kept:
    """Return the record of a run if it need not be run again.

    Another code of the plugins, another training or another fitted method below make a record
    stale. Other code of kpbench, or another minor version of torch, do not: the reason names them.

    Raises:
        RecordError: the record is corrupt, or of something else.
        BrokenPluginError: a module that a plugin imports cannot be read.
    """
    path = run.file("json")
    if run.settings.rerun == "all":
        return Kept(None, "asked for")
    if not path.exists():
        return Kept(None, "new")
    record = read_record(path)
    if record.identity != run.identity:
        raise RecordError(f"the record {path} has another identity; delete it and run again")
    if stale := _stale(run, record):
        return Kept(None, stale)
    changed = ", ".join(what_changed(record.provenance, _today(run)))
    if changed and run.settings.rerun == "changed":
        return Kept(None, f"changed since: {changed}")
    age = f"of {record.provenance.get('finished', 'unknown date')}"
    hint = f"; changed since: {changed}; --rerun changed measures it again" if changed else ""
    return Kept(record, age + hint)


def _stale(run: Run, record: Record) -> str:
    """Return why a record is no good any more, "" if it is."""
    if record.status != "ok":
        return f"{record.status} before"
    if record.provenance.get("source") != run.code.own:
        return "its code changed"
    precision = run.settings.precision
    trained_in = record.provenance.get("precision", precision)
    if run.trains and trained_in != precision:
        return f"it was trained with precision {trained_in}"
    built_on, found = record.provenance.get("dependency"), run.dependency_hash
    if built_on and found and built_on != found:
        return "the method that it depends on changed"
    return ""


def _today(run: Run) -> dict[str, object]:
    return {"kpbench": run.code.kpbench, "packages": packages()}


def good(run: Run) -> Record | None:
    """Return the record of the same run by the same code that has scores, None if none has."""
    try:
        record = read_record(run.file("json"))
    except RecordError:
        return None
    same = record.identity == run.identity and record.provenance.get("source") == run.code.own
    return record if same and record.status == "ok" else None
