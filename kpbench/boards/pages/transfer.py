"""The page of methods that were trained on one protocol and tested on another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from kpbench.boards.pages.markdown import HEAD, MISSING, interval, settings, spread, table
from kpbench.boards.row import setting_names, settings_of
from kpbench.records.folders import Folders
from kpbench.records.record import Identity, Record, all_records, data_of, stored_artifact
from kpbench.registry import on_boards
from kpbench.scoring.per_image import load_scores
from kpbench.scoring.statistics.compare import mean_interval
from kpbench.scoring.statistics.resampling import clusters_of, resample

NAME = "transfer.md"
_EXPLAIN = """\
Rows are trained on one data set, columns tested on another: the detector is taken as it is, and the
regression to landmarks is fitted on the training images of the data set that is tested (Hedlin et
al., StableKeypoints, Table 5; compare Harris's thesis, Table 4.23). Numbers are means over seeds ±
their standard deviation under the default evaluator of the column, in brackets the 95 % interval
over images (or identities) and seeds. Columns have units of their own; compare inside one.
"""
_Key = tuple[object, ...]


@dataclass
class _Matrix:
    """One method: records by what it was trained on, then by what it was tested on."""

    title: str
    rows: dict[_Key, dict[_Key, list[Record]]] = field(default_factory=dict)

    def add(self, trained: Identity, record: Record) -> None:
        tests = self.rows.setdefault((*_key(trained), _plain(settings_of(trained))), {})
        tests.setdefault((*_key(record.identity), record.evaluator), []).append(record)


def transfer_page(results: Folders) -> str | None:
    """Return the page of all transfer runs, None without one; `smoke` runs are left out.

    The diagonal holds the very runs whose fitted methods were tested elsewhere.

    Raises:
        RecordError: a record or an artifact is corrupt or missing.
    """
    records = [r for r in all_records(results) if on_boards(r.identity.recipe)]
    transferred = [(r.identity.trained_on, r) for r in records if r.identity.trained_on is not None]
    sources = [trained for trained, _ in transferred]
    home = [(r.identity, r) for r in records if r.identity in sources]
    matrices: dict[_Key, _Matrix] = {}
    for trained, record in [*home, *transferred]:
        who = record.identity
        title = f"{who.method} v{who.method_version}, {who.recipe} recipe, {who.device}"
        matrices.setdefault((title,), _Matrix(title)).add(trained, record)
    if not transferred:
        return None
    lines = ["# Trained on one data set, tested on another", "", HEAD, _EXPLAIN]
    for key in sorted(matrices, key=str):
        lines += _section(results, matrices[key])
    return "\n".join(lines).rstrip() + "\n"


def _section(results: Folders, matrix: _Matrix) -> list[str]:
    rows = sorted(matrix.rows.items(), key=lambda item: str(item[0]))
    columns = sorted({column for _, tests in rows for column in tests}, key=str)
    examples = [
        next(r for _, tests in rows for r in tests.get(column, []) if tests.get(column))
        for column in columns
    ]
    trained = [_origin(next(iter(tests.values()))[0]) for _, tests in rows]
    cells = [
        [_row_label(who, trained), *(_cell(results, tests.get(c, [])) for c in columns)]
        for who, (_, tests) in zip(trained, rows, strict=True)
    ]
    head = ["trained on", *(_column_label(record) for record in examples)]
    return [f"## {matrix.title}", "", *table(head, cells)]


def _origin(record: Record) -> Identity:
    return record.identity.trained_on or record.identity


def _key(who: Identity) -> _Key:
    arguments = {name: value for name, value in who.arguments.items() if name != "k"}
    return who.protocol, who.protocol_version, data_of(who), _plain(arguments)


def _plain(values: object) -> str:
    return json.dumps(values, sort_keys=True)


def _row_label(who: Identity, rows: Sequence[Identity]) -> str:
    """Return protocol, K and arguments, and the parameters in which rows of one name differ."""

    def name(other: Identity) -> str:
        own = {k: v for k, v in other.arguments.items() if k != "k"}
        text = f"{other.protocol} v{other.protocol_version}, K = {other.n_keypoints}"
        return text + settings(own)

    alike = [settings_of(other) for other in rows if name(other) == name(who)]
    varying = setting_names(settings_of(who), alike)
    return name(who) + settings({key: settings_of(who)[key] for key in varying})


def _column_label(record: Record) -> str:
    who = record.identity
    own = {k: v for k, v in who.arguments.items() if k != "k"}
    text = f"{who.protocol} v{who.protocol_version}{settings(own)}: `{record.evaluator}`"
    score = record.scores.get(record.evaluator)
    if score is None:
        return text
    return f"{text} ({score.metric}, {score.unit}) {'↑' if score.higher_is_better else '↓'}"


def _cell(results: Folders, records: Sequence[Record]) -> str:
    scored = [record for record in records if record.status == "ok"]
    if not scored:
        return "; ".join(sorted({r.error.type for r in records if r.error is not None})) or MISSING
    evaluator = scored[0].evaluator
    runs = [load_scores(stored_artifact(results, r, "scores"))[evaluator] for r in scored]
    pairs = [(run.errors, run.valid) for run in runs]
    clusters = clusters_of(runs[0].identities)
    found = resample(pairs, runs[0].aggregation, runs[0].groups, clusters=clusters)
    text = spread([record.scores[evaluator].value for record in scored])
    missing = len(records) - len(scored)
    return f"{text} ({interval(mean_interval(found))})" + (f", {missing} failed" if missing else "")
