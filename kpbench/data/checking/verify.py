"""Checking a data set on disk against what its protocol expects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from kpbench.api import Array, Progress, no_progress
from kpbench.data.checking.cached import cached_findings
from kpbench.data.checking.examine import FAR, OUTSIDE, Examined, Examiner, Faults
from kpbench.data.checking.report import Finding, Report
from kpbench.data.locate import require_root
from kpbench.data.packing.packed import LIMITS, evenly_spaced
from kpbench.data.packing.packing import digest_of
from kpbench.data.protocol import SPLITS, RealProtocol
from kpbench.data.source import Rows
from kpbench.errors import DataError, MissingDataError
from kpbench.scoring.flips import mirrored_pairs

MANY = 0.01
"""Share of images with a landmark outside of the region, above which it is an error."""
UPRIGHT = 0.75
"""Share of pairs of landmarks in which the upper lies above the lower, if axes are not swapped."""
SIZED = 0.1
"""Share of images whose labels reach beyond the file, above which the files were resized."""
SMALL = 0.6
"""Share of a file within which all labels of a data set hardly lie."""
SEVERAL = 20
"""So many images, or pairs of landmarks, tell something."""
OTHERWISE = 0.5
"""So far apart two parts are not in the share of left landmarks on the left."""
EXAMPLES = 5


@dataclass(frozen=True)
class _Part:
    """A part of the data set with the splits that it is."""

    splits: tuple[str, ...]
    rows: Rows
    found: Examined

    @property
    def name(self) -> str:
        return ", ".join(self.splits)


def verify(
    protocol: RealProtocol, *, decode: bool = True, progress: Progress = no_progress
) -> Report:
    """Check the data of a protocol: all images of all splits, whatever the recipe.

    Args:
        protocol: with its arguments.
        decode: open all images; without it only what is listed is checked.
        progress: told about images looked at.

    Raises:
        MissingDataError: the folder of the data set is not known or does not exist.
    """
    root = require_root(protocol.dataset.name)
    if not root.is_dir():
        raise MissingDataError(
            f"{root} does not exist; run: kpbench data path {protocol.dataset.name} DIR"
        )
    examiner = _examiner(root, protocol, decode)
    findings: list[Finding] = []
    parts: list[_Part] = []
    for part, splits in _splits_of(protocol).items():
        try:
            rows = protocol.packed("paper", splits[0]).listed()
        except DataError as error:
            text = f"the images cannot be listed: {error}"
            findings.append(Finding("error", ", ".join(splits), text))
            continue
        found = examiner.part(rows, f"looking at {part} of {protocol.name}", progress)
        parts.append(_Part(splits, rows, found))
        findings += _findings(protocol, parts[-1])
    findings += _shared(protocol, parts)
    findings += _exchanged(parts)
    digests = _digests(protocol, parts) if decode else {}
    findings += cached_findings(protocol, digests, decode, progress)
    fingerprints = {split: digests.get((split, "paper"), "") for split in SPLITS}
    return Report(
        protocol=protocol.name,
        root=str(root),
        quick=not decode,
        counts={split: len(part.rows) for part in parts for split in part.splits},
        published=dict(protocol.published),
        fingerprint=protocol.fingerprint_of(fingerprints) if all(fingerprints.values()) else "",
        findings=findings,
    )


def _examiner(root: Path, protocol: RealProtocol, decode: bool) -> Examiner:
    eyes = {spec.eyes for spec in protocol.evaluators if spec.eyes and not spec.skip_zero_eyes}
    sides = protocol.source.sideways or mirrored_pairs(protocol.landmarks)
    n = len(protocol.landmarks)
    return Examiner(root, protocol.source, protocol.pixels, n, decode, sorted(eyes), sides)


def _splits_of(protocol: RealProtocol) -> dict[str, tuple[str, ...]]:
    """Return part -> the splits that it is."""
    parts: dict[str, tuple[str, ...]] = {}
    for split in SPLITS:
        part = protocol.source.parts[split]
        parts[part] = (*parts.get(part, ()), split)
    return parts


def _findings(protocol: RealProtocol, part: _Part) -> Iterator[Finding]:
    """Yield what is wrong within one part."""
    n, found = len(part.rows), part.found
    for split in part.splits:
        if n != protocol.published[split]:
            reason = protocol.varying_sizes.get(split, "")
            text = f"{n:,} images, published: {protocol.published[split]:,}"
            yield Finding(
                "note" if reason else "error", split, f"{text} ({reason})" if reason else text
            )
    for faults, text in (
        (found.missing, "missing files"),
        (found.images, "images that cannot be read"),
        (found.masks, "masks that cannot be read"),
        (found.annotations, "images with an unusable annotation"),
        (found.far, f"images with a landmark further than {FAR:g} image outside"),
    ):
        if faults:
            yield _finding("error", part, faults, text)
    if found.outside:
        severity: Literal["error", "note"] = "error" if len(found.outside) > MANY * n else "note"
        text = f"images with a landmark more than {OUTSIDE:.0%} of the image outside"
        yield _finding(severity, part, found.outside, text)
    yield from _placed(protocol, part)
    if found.pairs and found.upright < UPRIGHT * found.pairs:
        yield _swapped(part)
    yield from _twice(part)


def _placed(protocol: RealProtocol, part: _Part) -> Iterator[Finding]:
    """Yield where eyes coincide, files have another size, and left and right are exchanged."""
    n, found = len(part.rows), part.found
    severity: Literal["error", "note"]
    if found.eyeless:
        severity = "error" if "test" in part.splits else "note"
        text = (
            "images whose eyes, by whose distance errors are divided, coincide or are not labelled"
        )
        yield _finding(severity, part, found.eyeless, text)
    if found.beyond:
        severity = "error" if len(found.beyond) > SIZED * n else "note"
        text = "images whose labels reach beyond the file; is it in the size that was annotated?"
        yield _finding(severity, part, found.beyond, text)
    if part.rows.boxes is not None and 0 < found.reach.max() < SMALL and n >= SEVERAL:
        text = f"no label reaches beyond {found.reach.max():.0%} of a file's width or height: are "
        yield Finding("note", part.name, f"{text}the files larger than those that were annotated?")
    if protocol.source.sideways and found.sideways < UPRIGHT * found.sides:
        share = found.sideways / found.sides
        text = (
            f"the left landmark lies left of the right one in {share:.0%} of cases only: left and"
        )
        yield Finding("error", part.name, f"{text} right look exchanged, or the images mirrored")


def _exchanged(parts: Sequence[_Part]) -> Iterator[Finding]:
    """Yield parts in which left and right lie otherwise than in the test images."""
    told = [part for part in parts if part.found.sides >= SEVERAL]
    for tested in (part for part in told if "test" in part.splits):
        for other in told:
            shares = [p.found.sideways / p.found.sides for p in (other, tested)]
            if abs(shares[0] - shares[1]) > OTHERWISE:
                text = (
                    f"left landmarks lie left of the right ones in {shares[0]:.0%} and "
                    f"{shares[1]:.0%} of cases: left and right look exchanged in one of the two"
                )
                yield Finding("error", f"{other.name} and {tested.name}", text)


def _finding(severity: Literal["error", "note"], part: _Part, faults: Faults, text: str) -> Finding:
    examples = [example for _, example in faults[:EXAMPLES]]
    return Finding(severity, part.name, f"{text}: {len(faults):,}", examples)


def _swapped(part: _Part) -> Finding:
    found = part.found
    share, other = found.upright / found.pairs, found.upright_transposed / found.pairs
    text = f"the upper landmark lies above the lower in {share:.0%} of cases only"
    if other > share:
        text += f", in {other:.0%} after an exchange of x and y: the axes look swapped"
    return Finding("error", part.name, text)


def _twice(part: _Part) -> Iterator[Finding]:
    """Yield images that are listed, or look the same, twice within a part."""
    boxes = np.zeros((len(part.rows), 4)) if part.rows.boxes is None else part.rows.boxes
    # several objects of an image are not one image twice
    shown = Counter(zip(part.rows.files.tolist(), map(tuple, boxes.tolist()), strict=True))
    if repeated := sorted(name for (name, _), count in shown.items() if count > 1):
        text = f"images listed more than once: {len(repeated):,}"
        yield Finding("error", part.name, text, repeated[:EXAMPLES])
    first: dict[bytes, int] = {}
    pairs = []
    for row, picture in sorted(part.found.pictures.items()):
        other = first.setdefault(picture, row)
        if other != row and part.rows.files[other] != part.rows.files[row]:
            pairs.append(f"{part.rows.files[other]} and {part.rows.files[row]}")
    if pairs:
        text = f"images that look exactly like an earlier one: {len(pairs):,}"
        yield Finding("note", part.name, text, pairs[:EXAMPLES])


def _shared(protocol: RealProtocol, parts: Sequence[_Part]) -> Iterator[Finding]:
    """Yield images and identities that test shares with training."""
    test = [part for part in parts if "test" in part.splits]
    for training in parts:
        for tested in test:
            if training is tested:
                continue
            where = f"{training.name} and test"
            seen = {picture: row for row, picture in training.found.pictures.items()}
            pairs = [
                f"{training.rows.files[seen[picture]]} and {tested.rows.files[row]}"
                for row, picture in sorted(tested.found.pictures.items())
                if picture in seen
            ] or [str(n) for n in np.intersect1d(training.rows.files, tested.rows.files)]
            if pairs:
                text = f"images of both: {len(pairs):,}"
                yield Finding("error", where, text, pairs[:EXAMPLES])
            yield from _same_people(protocol, training.rows, tested.rows, where)


def _same_people(
    protocol: RealProtocol, training: Rows, tested: Rows, where: str
) -> Iterator[Finding]:
    if training.groups is None or tested.groups is None:
        return
    shared = np.intersect1d(training.groups, tested.groups)
    if len(shared) == 0:
        return
    images = int(np.isin(tested.groups, shared).sum())
    text = f"identities of both: {len(shared):,}, in {images:,} test images"
    examples = [str(name) for name in shared[:EXAMPLES]]
    if reason := protocol.shared_identities:
        yield Finding("note", where, f"{text}; {reason}", examples)
    else:
        yield Finding("error", where, text, examples)


def _digests(protocol: RealProtocol, parts: Sequence[_Part]) -> dict[tuple[str, str], str]:
    """Return (split, recipe) -> digest of the files, where all images can be read."""
    digests: dict[tuple[str, str], str] = {}
    for part in parts:
        n = len(part.rows)
        for split in part.splits:
            for recipe in LIMITS:
                packed = protocol.packed(recipe, split)
                chosen = evenly_spaced(n, packed.limit)
                read = [part.found.digests.get(int(i)) for i in chosen]
                kept = [digest for digest in read if digest is not None]
                if len(kept) == len(chosen):
                    table: Array = np.frombuffer(b"".join(kept), np.uint8).reshape(-1, 32)
                    digests[split, recipe] = digest_of(packed, part.rows[chosen], table)
    return digests
