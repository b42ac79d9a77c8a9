"""Which finished run is meant by a method and a protocol: the plain one, if it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kpbench.errors import InvalidInputError
from kpbench.records.record import Identity, Record, read_record
from kpbench.registry import configured_method, find, load_protocol, place_of


def find_run(
    results: Path,
    method: str,
    protocol: str,
    *,
    seed: int | None = None,
    recipe: str | None = None,
    with_model: bool = False,
) -> Record:
    """Return the record of a finished run, of several that which is most like what a plain run is.

    Runs trained on another protocol or of shipped weights come last, then those with protocol
    arguments, then those with other parameters than the recipe's own, such as the points of a
    study. Among equals: the newest versions, the recipe that leads the boards, the lowest seed, the
    latest.

    Args:
        results: folder of records.
        method: its name.
        protocol: its name.
        seed: of the training; None: any.
        recipe: how much training; None: any.
        with_model: only runs whose fitted method is there.

    Raises:
        InvalidInputError: there is none; holds the command that makes it.
        UnknownNameError: no such method or protocol.
        RecordError: a record is corrupt.
    """
    find("methods", method), find("protocols", protocol)
    names = f"{recipe or '*'}-{'*' if seed is None else seed}-*.json"
    paths = sorted((results / protocol / method).glob(names))
    found = [
        record
        for record in map(read_record, paths)
        if record.status == "ok"
        and (not with_model or record.identity.file(results, "model").is_dir())
    ]
    if not found:
        what = f"trained {method} for" if with_model else f"finished run of {method} on"
        asked = "" if seed is None else f" --seeds {seed}"
        asked += "" if recipe is None else f" --recipe {recipe}"
        raise InvalidInputError(
            f"no {what} {protocol} in {results}; run: kpbench evaluate "
            f"-m {method} -p {protocol}{asked} --results {results}"
        )
    latest_first = sorted(found, key=lambda r: str(r.provenance.get("finished", "")), reverse=True)
    return min(latest_first, key=lambda record: _preference(record.identity))


def described(who: Identity) -> str:
    """Return which run it is, and in what it differs from a plain one."""
    changed = {**_other_params(who), **who.arguments}
    if who.trained_on is not None:
        changed["trained_on"] = who.trained_on.protocol
    text = f"{who.protocol} / {who.method} / seed {who.seed}, {who.recipe} recipe"
    text += f", {'shipped weights' if who.pretrained else 'run'} {who.digest()}"
    named = ", ".join(f"{name}={value}" for name, value in changed.items())
    return f"{text} ({named})" if named else text


def _preference(who: Identity) -> tuple[bool, bool, bool, int, int, tuple[float, str], int]:
    return (
        who.trained_on is not None or who.pretrained is not None,
        bool(who.arguments),
        bool(_other_params(who)),
        -who.protocol_version,
        -who.method_version,
        place_of(who.recipe),
        who.seed,
    )


def _other_params(who: Identity) -> dict[str, Any]:
    """Return the parameters that are not the recipe's own, those of a teacher by its name."""
    trained = who if who.trained_on is None else who.trained_on
    role = load_protocol(trained.protocol).role
    usual = configured_method(who.method, role=role, recipe=who.recipe, overrides={}).params()
    absent = "not set"
    found = {
        name: who.params.get(name, absent)
        for name in {**usual, **who.params}
        if who.params.get(name, absent) != usual.get(name, absent)
    }
    if who.dependency is not None:
        inner = _other_params(who.dependency)
        found |= {f"{who.dependency.method}.{name}": value for name, value in inner.items()}
    return found
