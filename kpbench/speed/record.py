"""One JSON file for the speed of a method on a device, with the hardware and the versions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kpbench.api import Device
from kpbench.errors import RecordError
from kpbench.files.atomic import write_atomically
from kpbench.records.record import RecipeName


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Spread(_Frozen):
    """Milliseconds of one call or step: median and 5th and 95th percentiles over `repeats`."""

    median_ms: float = Field(gt=0)
    p05_ms: float = Field(gt=0)
    p95_ms: float = Field(gt=0)
    repeats: int = Field(ge=1)


class Inference(_Frozen):
    """`predict` on `batch` images in host memory, copies included.

    `share_of_peak` is what it computes a second, divided by what the device was measured to do.
    """

    batch: int = Field(ge=1)
    images_per_s: float = Field(gt=0)
    time: Spread
    share_of_peak: float | None = Field(default=None, ge=0)


class Training(_Frozen):
    """Training steps of `batch` images; `time` is of one step, its spread that between windows."""

    batch: int = Field(ge=1)
    images_per_s: float = Field(gt=0)
    time: Spread
    steps: int = Field(ge=1)
    """Steps in all windows."""
    startup_s: float = Field(ge=0)
    """Seconds until the first step was done: data, what is computed beforehand, compilation."""
    threads: int = Field(ge=1)
    """Of PyTorch, on the CPU."""
    share_of_peak: float | None = Field(default=None, ge=0)
    share_of_datasheet: float | None = Field(default=None, ge=0)


class Memory(_Frozen):
    """Peak memory in MiB; `how` says what was measured."""

    how: str
    training_mib: float | None = Field(default=None, ge=0)
    inference_mib: float | None = Field(default=None, ge=0)
    inference_batch: int = Field(ge=1)


class Gflop(_Frozen):
    """1e9 floating-point operations of convolutions and matrix products; a multiply-add is two.

    `computed` counts what our code does, as far as PyTorch's counter sees it on the CPU; shares of
    a peak are of it. `recipe`, what the method is defined to do, is in older records.
    """

    recipe: float | None = Field(default=None, ge=0)
    computed: float = Field(ge=0)


class Size(_Frozen):
    """How large a method is.

    Attributes:
        kept: numbers in its checkpoint.
        trained: numbers that its optimiser changes, parts that are thrown away included; None
            where it trains without an optimiser of PyTorch's.
        predict: operations of `predict`, an image.
        step: of a training step, an image, frozen networks included.
    """

    kept: int = Field(ge=0)
    trained: int | None = Field(default=None, ge=0)
    predict: Gflop
    step: Gflop | None = None


class Peak(_Frozen):
    """What the device does at best: a large matrix product, measured in the same run."""

    use: Literal["inference", "training"]
    arithmetic: str
    threads: int = Field(ge=1)
    tflops: float = Field(gt=0)
    time: Spread
    datasheet_tflops: float | None = Field(default=None, gt=0)
    datasheet: str = ""


class SweepCell(_Frozen):
    """A training step with K keypoints on images of `pixels` a side.

    `edge_map_ms` is of drawing the graph and its gradient alone, between points that the method
    detects; None for a method without one.
    """

    n_keypoints: int = Field(ge=2)
    pixels: int = Field(ge=1)
    batch: int = Field(ge=1)
    time: Spread
    peak_memory_mib: float | None = Field(default=None, ge=0)
    edge_map_ms: float | None = Field(default=None, gt=0)

    @property
    def edge_map_share(self) -> float | None:
        """Share of the step."""
        return None if self.edge_map_ms is None else self.edge_map_ms / self.time.median_ms


class Sweep(_Frozen):
    """How the cost of a step grows with K and the size."""

    finished: str
    commit: str | None
    cells: tuple[SweepCell, ...] = Field(min_length=1)


class SpeedRecord(_Frozen):
    """What was measured for one method and recipe on one device.

    Attributes:
        params: of the method, as the recipe has them.
        pixels: side of the images that were handed over.
        precision: of the training; `predict` decides on its own.
        threads: of PyTorch at prediction.
        random_weights: pretrained weights that were not on the machine and were random here.
        finished: when, UTC.
        provenance: hardware, versions and commit.
    """

    schema_: Literal[1] = Field(default=1, alias="schema")
    method: str
    method_version: int
    recipe: RecipeName
    params: Mapping[str, Any]
    n_keypoints: int = Field(ge=1)
    pixels: int = Field(ge=1)
    device: Device
    device_name: str = Field(min_length=1)
    precision: str
    threads: int = Field(ge=1)
    random_weights: tuple[str, ...] = ()
    inference: tuple[Inference, ...] = Field(min_length=1)
    training: Training | None = None
    memory: Memory
    size: Size
    peaks: tuple[Peak, ...] = ()
    sweep: Sweep | None = None
    finished: str
    provenance: Mapping[str, Any] = {}

    @property
    def first(self) -> Inference:
        """The smallest batch: its time is the latency."""
        return min(self.inference, key=lambda row: row.batch)

    @property
    def best(self) -> Inference:
        """The batch with the most images a second."""
        return max(self.inference, key=lambda row: (row.images_per_s, -row.batch))

    def path(self, folder: Path) -> Path:
        """Return where the record lies: one file a method, recipe and device."""
        device = re.sub(r"[^a-z0-9]+", "-", self.device_name.lower()).strip("-")
        return folder / f"{self.method}-{self.recipe}-{device}.json"

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return self.model_dump(mode="json", by_alias=True)

    def save(self, folder: Path) -> Path:
        """Write the record atomically; the sweep of the one before is kept where there is no new.

        Raises:
            StorageError: the folder cannot be written.
        """
        path, record = self.path(folder), self
        if self.sweep is None and path.is_file():
            with suppress(RecordError):  # what is corrupt is replaced
                record = self.model_copy(update={"sweep": read_speed_record(path).sweep})
        text = json.dumps(record.as_json(), indent=1, sort_keys=True, allow_nan=False)
        write_atomically(path, text.encode() + b"\n")
        return path


def read_speed_record(path: Path) -> SpeedRecord:
    """Read one record.

    Raises:
        RecordError: not JSON, incomplete, not of this schema, or under another record's name.
    """
    advice = "delete it, or measure again with kpbench throughput --save"
    try:
        record = SpeedRecord.model_validate(json.loads(path.read_text(encoding="utf-8-sig")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(
            f"the speed record {path} is corrupt: {where}: {first['msg']}; {advice}"
        ) from error
    except (OSError, ValueError) as error:
        raise RecordError(f"the speed record {path} cannot be read: {error}; {advice}") from error
    if path.name != record.path(Path()).name:
        raise RecordError(
            f"the speed record {path} belongs to {record.path(Path()).name}: it was edited or the "
            f"file was renamed; {advice}"
        )
    return record


def all_speed_records(folder: Path) -> Iterator[SpeedRecord]:
    """Read every record in a folder, in order of the names.

    Raises:
        RecordError: one of them is corrupt.
    """
    for path in sorted(folder.glob("*.json")):
        yield read_speed_record(path)
