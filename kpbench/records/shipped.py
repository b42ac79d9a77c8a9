"""Weights that plugin packages ship: `<package>/pretrained/<method>/<protocol>/`.

Each folder holds a checkpoint (see `checkpoint`; `kpbench export --weights` writes it) and
`record.json`, the record of the run that trained it. Any installed package can ship them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kpbench.api import EvaluationProtocol
from kpbench.errors import (
    CheckpointError,
    InvalidInputError,
    KpbenchError,
    MissingWeightsError,
)
from kpbench.files.checkpoint import content_hash, read_about, read_arrays
from kpbench.records.find import described, find_run
from kpbench.records.record import Identity, Record, parse_record
from kpbench.registry import available, find

FOLDER, RECORD = "pretrained", "record.json"


@dataclass(frozen=True)
class Shipped:
    """The shipped weights of one method on one protocol.

    Attributes:
        method: name of the method.
        protocol: name of the protocol that it was trained on.
        folder: where they lie.
    """

    method: str
    protocol: str
    folder: Path

    @cached_property
    def record(self) -> Record:
        """The record of the training.

        Raises:
            RecordError: it is missing or corrupt.
        """
        return parse_record(self.folder / RECORD)

    def check(self) -> None:
        """Compare the weights with their place and their record.

        Raises:
            RecordError: the record is missing or corrupt.
            CheckpointError: the weights are missing, or the record is that of something else.
        """
        who, about = self.record.identity, read_about(self.folder)
        pairs = {
            "method": (who.method, self.method),
            "protocol": (who.protocol, self.protocol),
            "the weights' method": (about["method"], self.method),
            "version": (about.get("version"), who.method_version),
            "params": (about["params"], dict(who.params)),
            "status": (self.record.status, "ok"),
        }
        for name, (found, wanted) in pairs.items():
            if found != wanted:
                raise CheckpointError(
                    f"the weights in {self.folder} and their {RECORD} do not fit: {name} is "
                    f"{found!r}, expected {wanted!r}; export them again"
                )

    @property
    def content(self) -> str:
        """Hash of the arrays, whatever the files' dates and names.

        Raises:
            CheckpointError: the weights are missing or corrupt.
        """
        return content_hash(read_arrays(self.folder, read_about(self.folder)))

    def provenance(self) -> dict[str, Any]:
        """Say where the weights come from, for the records of whatever they are scored on."""
        made = self.record.provenance
        told = {name: made[name] for name in ("commit", "finished", "source") if name in made}
        return {"record": self.record.identity.digest(), **told}

    def check_asked(
        self,
        protocol: EvaluationProtocol,
        *,
        seed: int,
        recipe: str,
        data: str,
        arguments: Mapping[str, Any],
    ) -> Identity:
        """Return the identity of the training after comparing it with what is asked for.

        Raises:
            MissingWeightsError: these weights are of another training; says of which.
        """
        who = self.record.identity
        compared = {
            "the seed": (who.seed, seed),
            "the recipe": (who.recipe, recipe),
            "the arguments of the protocol": (dict(who.arguments), dict(arguments)),
            "the version of the protocol": (who.protocol_version, protocol.version),
            "K": (who.n_keypoints, protocol.n_keypoints),
            "the data": (who.data.partition("+")[0], data.partition("+")[0]),
        }
        for name, (trained, asked) in compared.items():
            if trained != asked:
                raise MissingWeightsError(
                    f"the shipped weights of {self.method} are of another training: {name} was "
                    f"{trained}, asked for is {asked}"
                )
        return who


def all_shipped() -> list[Shipped]:
    """Return all weights that installed packages ship, by method and protocol."""
    return [
        Shipped(name, folder.name, folder)
        for name, plugin in available("methods").items()
        for folder in sorted(package_folder(plugin.path).glob(f"{FOLDER}/{name}/*"))
        if folder.is_dir()
    ]


def package_folder(source: Path) -> Path:
    """Return the folder of the package in which a plugin, one module or one folder, lies."""
    return source.parent.parent if source.name == "__init__.py" else source.parent


def find_shipped(method: str, protocol: str) -> Shipped:
    """Return the shipped weights of a method on a protocol.

    Raises:
        UnknownNameError: no such method or protocol is installed.
        MissingWeightsError: none are shipped; lists those that are.
        CheckpointError: they are missing or do not belong to their record.
        RecordError: their record is missing or corrupt.
    """
    everything = all_shipped()
    for weights in everything:
        if (weights.method, weights.protocol) == (method, protocol):
            weights.check()
            return weights
    find("methods", method), find("protocols", protocol)
    raise MissingWeightsError(
        f"no weights of {method} for {protocol} are shipped; shipped are: {_listed(everything)}"
    )


def shipped_protocols(methods: Sequence[str]) -> list[str]:
    """Return the protocols for which weights of any of the methods are shipped.

    Raises:
        MissingWeightsError: there are none; lists those that are shipped.
    """
    everything = all_shipped()
    found = sorted({weights.protocol for weights in everything if weights.method in methods})
    if not found:
        raise MissingWeightsError(
            f"no weights of {', '.join(methods)} are shipped; shipped are: {_listed(everything)}"
        )
    return found


def chosen_model(
    method: str,
    protocol: str,
    model: Path | None,
    results: Path | None,
    *,
    seed: int | None = None,
    recipe: str | None = None,
) -> Path:
    """Return the folder of a trained model: `model`, else a finished run, else shipped weights.

    Args:
        method: name of the method.
        protocol: name of the protocol that it was trained on.
        model: the folder itself.
        results: folder of records.
        seed: of the run in `results`; None: any.
        recipe: of the run in `results`; None: any.

    Raises:
        InvalidInputError: both folders are given; or there is no such run.
        CheckpointError: the shipped weights are corrupt.
        MissingWeightsError: none are shipped; lists those that are.
        UnknownNameError: no such method or protocol is installed.
    """
    if model is not None and results is not None:
        raise InvalidInputError("name a model's folder or a folder of results, not both")
    if model is not None:
        return model
    if results is not None:
        return find_model(results, method, protocol, seed=seed, recipe=recipe)
    try:
        return find_shipped(method, protocol).folder
    except MissingWeightsError as error:
        raise MissingWeightsError(
            f"{error}; name a trained model of your own with --model or --results"
        ) from error


def find_model(
    results: Path,
    method: str,
    protocol: str,
    *,
    seed: int | None = None,
    recipe: str | None = None,
) -> Path:
    """Return the fitted method of a finished run; which one, and what it raises: see `find_run`."""
    record = find_run(results, method, protocol, seed=seed, recipe=recipe, with_model=True)
    return record.identity.file(results, "model")


def whose_model(folder: Path) -> str:
    """Return of which run a trained model is; the folder alone where there is no record of it."""
    place = folder.resolve()
    beside = place.parent / f"{place.stem}.json"
    try:
        record = parse_record(beside if place.suffix == ".model" else place / RECORD)
        return described(record.identity)
    except KpbenchError:
        return str(folder)


def _listed(everything: Sequence[Shipped]) -> str:
    by_method: dict[str, list[str]] = {}
    for weights in everything:
        by_method.setdefault(weights.method, []).append(weights.protocol)
    return "; ".join(f"{name} ({', '.join(on)})" for name, on in by_method.items()) or "none"


def apart(records: Sequence[Record]) -> list[tuple[dict[str, str], list[Record]]]:
    """Split the records of one board, so that no mean over seeds mixes trained and shipped.

    Reference rows belong to both parts.

    Returns:
        The parts that show a method, each with what its board adds to the protocol's arguments.
    """
    shipped = [record for record in records if record.identity.pretrained]
    if not shipped:
        return [({}, list(records))]
    trained = [record for record in records if not record.identity.pretrained]
    floors = [record for record in trained if record.reference]
    seeds = {record.identity.seed for record in shipped}
    beside = [record for record in floors if record.identity.seed in seeds]
    part = {"pretrained": "shipped"}, beside + shipped
    return [part] if len(floors) == len(trained) else [({}, trained), part]
