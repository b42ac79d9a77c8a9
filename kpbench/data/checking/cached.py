"""Whether packed images are those of the files, for `kpbench.data.checking.verify`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from kpbench.api import Progress
from kpbench.data.checking.report import Finding
from kpbench.data.packing.packed import LIMITS, PackedSet
from kpbench.data.protocol import SPLITS, RealProtocol
from kpbench.errors import CacheError, MissingDataError


def cached_findings(
    protocol: RealProtocol,
    digests: Mapping[tuple[str, str], str],
    decode: bool,
    progress: Progress,
) -> Iterator[Finding]:
    """Yield where packed images were altered, or are not those of the files.

    Args:
        protocol: whose.
        digests: (split, recipe) -> digest of the files, where all can be read.
        decode: read the packed images.
        progress: told about those that were read.
    """
    seen: set[Path] = set()
    for recipe in LIMITS:
        for split in SPLITS:
            packed = protocol.packed(recipe, split)
            if packed.folder in seen:
                continue
            seen.add(packed.folder)
            yield from _cache_finding(packed, split, digests.get((split, recipe)), decode, progress)


def _cache_finding(
    packed: PackedSet, split: str, digest: str | None, decode: bool, progress: Progress
) -> Iterator[Finding]:
    try:
        if decode:
            packed.check(progress)
        found = packed.open().digest
    except MissingDataError:
        return
    except CacheError as error:
        yield Finding("error", split, str(error))
        return
    if digest is not None and found != digest:
        yield Finding(
            "error", split,
            f"the files have changed since they were packed; delete the folder {packed.folder} to "
            "pack them anew",
        )  # fmt: skip
