"""By which code a record was made, and what of that is not the code of another record, or of today.

`provenance["kpbench"]` holds hashes of modules, a line a room: {"nn": "detector=4a5b resize=0c1d"}.
`provenance["packages"]["torch"]` is a version. What a record does not say is not known to differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kpbench.records.record import Record


def line_of(modules: Mapping[str, str]) -> str:
    """Return the hashes of a room's modules as a record holds them."""
    return " ".join(f"{name}={code}" for name, code in sorted(modules.items()))


def modules_of(line: str) -> dict[str, str]:
    """Return the hashes of a room's modules by their names.

    Example:
        >>> modules_of(line_of({"resize": "0c1d", "detector": "4a5b"}))
        {'detector': '4a5b', 'resize': '0c1d'}
    """
    return dict(each.split("=", 1) for each in line.split())


def what_changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the rooms of kpbench, and torch, that are others than those a record was made by.

    Args:
        then: provenance of the record.
        now: the same of today, or of what the record is compared with.

    Returns:
        Names of rooms, sorted, and last "torch 2.14 (now 2.15)" if the minor version differs.

    Example:
        >>> what_changed({"kpbench": {"nn": "resize=0c1d"}}, {"kpbench": {"nn": "resize=ffff"}})
        ['nn']
    """
    found: Mapping[str, str] = now.get("kpbench", {})
    rooms = sorted(
        room
        for room, line in then.get("kpbench", {}).items()
        if found and not modules_of(line).items() <= modules_of(found.get(room, "")).items()
    )
    was, is_ = _minor(then), _minor(now)
    return rooms + ([f"torch {was} (now {is_})"] if was and is_ and was != is_ else [])


def newest(records: Iterable[Record]) -> dict[str, Any]:
    """Return what the newest of some records were made by, module by module.

    Methods import different modules; of each, the newest record that has it counts.
    """
    code: dict[str, dict[str, str]] = {}
    packages: dict[str, Any] = {}
    for record in sorted(records, key=lambda r: str(r.provenance.get("finished", ""))):
        for room, line in record.provenance.get("kpbench", {}).items():
            code.setdefault(room, {}).update(modules_of(line))
        packages.update(record.provenance.get("packages", {}))
    lines = {room: line_of(modules) for room, modules in code.items()}
    return {"kpbench": lines, "packages": packages}


def _minor(provenance: Mapping[str, Any]) -> str | None:
    """Return "2.15" of torch 2.15.0+cpu, None where it is not known."""
    version = provenance.get("packages", {}).get("torch")
    return None if version is None else ".".join(str(version).split(".")[:2])
