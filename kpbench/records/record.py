"""One JSON file a result. The identity names the file; metrics and provenance never do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from kpbench.contracts.recipes import NAME
from kpbench.contracts.types import Device, Reference
from kpbench.errors import RecordError
from kpbench.files.atomic import write_atomically
from kpbench.records.folders import Folders, holder, record_files


def _with_task(raw: dict[str, Any]) -> dict[str, Any]:
    """Say what there was no choice of before schema 2: the task, and which methods are references.

    They were those whose names the boards held.
    """
    named = {"mean_shape": "floor", "random_detector": "other", "oracle": "ceiling"}
    who = raw.get("identity")
    method = who.get("method") if isinstance(who, dict) else None
    return {**raw, "schema": 2, "task": "image->2D", "reference": named.get(str(method), "")}


SCHEMA = 2
MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _with_task}
"""One pure step from schema n to n + 1; every old schema has a frozen file in the tests."""

Status = Literal["ok", "failed", "skipped"]
RecipeName = Annotated[str, Field(pattern=NAME)]
"""Of any recipe, whether or not what declared it is still there."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Identity(_Frozen):
    """What was measured. Equal identities must give equal scores.

    Attributes:
        protocol: name of the protocol that scored.
        protocol_version: its version.
        data: fingerprint of its data, and of computed signals that the method was shown.
        method: name of the method.
        method_version: its version.
        params: its parameters.
        n_keypoints: K.
        seed: of the training.
        recipe: how much training.
        device: class of the device.
        dependency: the run that trained the method that this one depends on.
        arguments: arguments of the protocol that differ from its default.
        trained_on: the run, on another protocol, whose fitted method was scored (transfer).
        pretrained: content hash of the shipped weights that were scored instead of training.
    """

    protocol: str
    protocol_version: int
    data: str
    method: str
    method_version: int
    params: Mapping[str, Any]
    n_keypoints: int
    seed: int
    recipe: RecipeName
    device: Device
    dependency: Identity | None = None
    arguments: Mapping[str, Any] = {}
    trained_on: Identity | None = None
    pretrained: str | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_not_set(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the later fields where they say nothing, so that old digests stay."""
        written: dict[str, Any] = write(self)
        for name in ("arguments", "trained_on", "pretrained"):
            if not written.get(name):
                written.pop(name, None)
        return written

    def digest(self) -> str:
        """Return a short hash over everything in the identity."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def stem(self, root: Path) -> Path:
        """Return `<root>/<protocol>/<method>/<recipe>-<seed>-<digest>`, without an ending."""
        name = f"{self.recipe}-{self.seed}-{self.digest()}"
        return root / self.protocol / self.method / name

    def file(self, root: Path, ending: str) -> Path:
        """Return the path of a file or folder that belongs to the run, e.g. ending "json"."""
        stem = self.stem(root)
        return stem.with_name(f"{stem.name}.{ending}")


def data_of(who: Identity) -> str:
    """Return the fingerprint of images and labels, without that of depth shown to one method."""
    return who.data.partition("+")[0]


class Score(_Frozen):
    """One evaluator's verdict: `value` in `unit`, with a 95 % bootstrap interval.

    `resampled` says over what: "images", or "identities" where images share them.
    """

    metric: str
    unit: str
    higher_is_better: bool
    oracle_used: bool
    value: float
    ci95: tuple[float, float]
    n_images: int
    rank: int
    n_features: int
    notes: tuple[str, ...] = ()
    resampled: Literal["images", "identities"] = "images"


class LabelPoint(_Frozen):
    """Score of a regressor fitted on `n_labelled` images: mean and deviation over draws of them."""

    n_labelled: int
    n_draws: int
    mean: float
    sd: float


class LabelCurve(_Frozen):
    """Label efficiency under one evaluator; see `kpbench.diagnosis.label_efficiency`."""

    evaluator: str
    points: tuple[LabelPoint, ...]


class Failure(_Frozen):
    """Why a cell has no score. `where` is a module and line, never an absolute path."""

    type: str
    message: str
    where: str = ""


class Artifact(_Frozen):
    """A file beside the record."""

    file: str
    sha256: str


class Record(_Frozen):
    """The outcome of one run: scores when `ok`, else an error."""

    schema_: Literal[2] = Field(default=2, alias="schema")
    identity: Identity
    status: Status
    evaluator: str
    """The protocol's default evaluator; `scores` has the others of the data set, too."""
    supervision: str
    task: str = "image->2D"
    """What was asked for, and what the kept predictions are."""
    reference: Reference = ""
    """What the method is to those that are ranked, if it is not one of them itself."""
    scores: Mapping[str, Score] = {}
    unscored: Mapping[str, str] = {}
    """Evaluators of the data set that could not be applied, and why."""
    foreground_hits: float | None = None
    """Share of keypoints that lie on the object in the test images; None without masks."""
    equivariance: Mapping[str, float] = {}
    """Error in % of the image by kind of warp; see `kpbench.diagnosis.equivariance`."""
    diagnostics: Mapping[str, float] = {}
    """Shares by name; see `kpbench.diagnosis`."""
    label_efficiency: LabelCurve | None = None
    error: Failure | None = None
    artifacts: Mapping[str, Artifact] = {}
    seconds: Mapping[str, float] = {}
    provenance: Mapping[str, Any] = {}

    @model_validator(mode="after")
    def _exactly_one(self) -> Record:
        if (self.status == "ok") != bool(self.scores) or (self.status == "ok") == bool(self.error):
            raise ValueError("a record has scores when its status is ok, else an error")
        if self.status == "ok" and self.evaluator not in self.scores:
            raise ValueError(f"the default evaluator {self.evaluator} has no score")
        return self

    def path(self, root: Path) -> Path:
        """Return where the record lives below `root`."""
        return self.identity.file(root, "json")

    def save(self, root: Path) -> Path:
        """Write the record atomically.

        Raises:
            StorageError: the folder cannot be written.
        """
        write_atomically(self.path(root), self.encoded())
        return self.path(root)

    def encoded(self) -> bytes:
        """Return the content of the record's file."""
        text = json.dumps(
            self.model_dump(mode="json", by_alias=True), indent=1, sort_keys=True, allow_nan=False
        )
        return text.encode() + b"\n"


def parse_record(path: Path) -> Record:
    """Read one record, whatever its file is called, migrating old schemas.

    Raises:
        RecordError: not JSON, of an unknown schema, or incomplete.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8-sig"))
        while isinstance(raw, dict) and raw.get("schema") in MIGRATIONS:
            raw = MIGRATIONS[raw["schema"]](raw)
        return Record.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(
            f"the record {path} is corrupt: {where}: {first['msg']}; delete it and run again"
        ) from error
    except (OSError, ValueError) as error:
        raise RecordError(
            f"the record {path} cannot be read: {error}; delete it and run again"
        ) from error


def read_record(path: Path) -> Record:
    """Read one record of a results folder, migrating old schemas.

    Raises:
        RecordError: not JSON, of an unknown schema, incomplete, or under another identity's name.
    """
    record = parse_record(path)
    if path.stem != record.path(Path()).stem:
        raise RecordError(
            f"the record {path} belongs to {record.path(Path()).name}: its identity was edited or "
            "the file was renamed; delete it and run again"
        )
    return record


def all_records(root: Folders) -> Iterator[Record]:
    """Read every record below `root` in a fixed order.

    Raises:
        RecordError: one of them is corrupt.
    """
    for path in record_files(root):
        yield read_record(path)


def folder_of(root: Folders, record: Record) -> Path:
    """Return the folder that holds a record, and the files that belong to it."""
    return holder(root, record.path(Path()))


def stored_artifact(root: Folders, record: Record, kind: str) -> Path:
    """Return the path of an artifact after checking its content hash.

    Raises:
        RecordError: it is missing or was altered.
    """
    artifact, folder = record.artifacts.get(kind), folder_of(root, record)
    if artifact is None:
        raise RecordError(f"the record {record.path(folder)} has no {kind}")
    path = record.path(folder).with_name(artifact.file)
    if not path.is_file():
        raise RecordError(f"{path} is missing; delete {record.path(folder).name} and run again")
    if hashlib.sha256(path.read_bytes()).hexdigest() != artifact.sha256:
        raise RecordError(
            f"{path} was altered since its record was written; delete {record.path(folder).name} "
            "and run again"
        )
    return path
