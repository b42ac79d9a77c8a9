"""How runs on a labelled project are scored: evaluators as data, the strict one the default."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from kpbench.data.projects.project import Project
from kpbench.errors import InvalidInputError, UnknownNameError
from kpbench.scoring.flips import Pairs
from kpbench.scoring.presets.citations import STRICT
from kpbench.scoring.spec import EvaluatorSpec

_SIDES = (("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT"))
_LETTERS = (("l", "r"), ("L", "R"))
_FIT = "least squares of each landmark on all keypoints with bias"


def evaluators(
    name: str,
    landmarks: Sequence[str],
    *,
    normaliser: Sequence[str] = (),
    pixels: float = 0.0,
    pairs: Pairs = (),
    gaps: bool = False,
) -> tuple[EvaluatorSpec, ...]:
    """Return the evaluators of a project, the default one last.

    A landmark with fewer labels than the regression has numbers gets the minimum-norm solution.

    Args:
        name: of the protocol.
        landmarks: names.
        normaliser: two landmarks whose distance in an image divides its errors.
        pixels: height of what is shown, for errors in pixels; 0: in % of that height.
        pairs: (left, right) indices; with them a score whose left and right may be exchanged.
        gaps: test images that lack a label of the normaliser are left out; else they are an error.

    Raises:
        UnknownNameError: the normaliser names no landmark.
        InvalidInputError: it names others than two.
    """
    strict = EvaluatorSpec(
        name=f"{name}/strict",
        paper=STRICT,
        formula="",
        metric="normalised L2",
        unit="%",
        scale=100.0,
        frame="isotropic",
        bias=True,
        rows="visible",
        min_norm=True,
    )
    error = "mean over images of d, d = mean over visible landmarks of |p - y|"
    if normaliser:
        if len(normaliser) != 2 or len(set(normaliser)) != 2:
            raise InvalidInputError(f"--normaliser {','.join(normaliser)}: two landmarks, as A,B")
        a, b = (index_of(landmark, landmarks) for landmark in normaliser)
        across = f"distance of {normaliser[0]} and {normaliser[1]}"
        strict = replace(
            strict,
            formula=f"{error} / {across}, x 100, in an image that is not squashed; {_FIT}",
            metric=f"L2 / {across}",
            eyes=(a, b),
            skip_zero_eyes=gaps,
        )
    elif pixels:
        strict = replace(
            strict, formula=f"{error}, in pixels of the file; {_FIT}", metric="L2", unit="px",
            scale=pixels,
        )  # fmt: skip
    else:
        strict = replace(strict, formula=f"{error} / height of what is shown, x 100; {_FIT}")
    return (*([symmetric(strict, pairs, len(landmarks))] if pairs else []), strict)


def symmetric(strict: EvaluatorSpec, pairs: Pairs, n_landmarks: int) -> EvaluatorSpec:
    """Return the evaluator under which left and right may be exchanged, image by image.

    For animals that are seen from both sides: pixels alone may not tell left from right.
    """
    return replace(
        strict,
        name=f"{strict.dataset}/symmetric",
        paper=f"{STRICT}; but for left and right",
        formula=f"{strict.formula}, labels exchanged by EM; in test the better of the estimate and "
        "its exchange",
        rows="all",
        pairs=pairs,
        n_landmarks=n_landmarks,
        train_flip="em",
        test_flip="estimate",
    )


def index_of(landmark: str, landmarks: Sequence[str]) -> int:
    """Return the index of a landmark.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if landmark not in landmarks:
        raise UnknownNameError.of("landmark", landmark, landmarks)
    return list(landmarks).index(landmark)


def indexed(pairs: Sequence[Sequence[str]], landmarks: Sequence[str]) -> Pairs:
    """Return pairs of names as indices.

    Raises:
        UnknownNameError: one names no landmark.
        InvalidInputError: a landmark has two partners, or itself.
    """
    found = tuple((index_of(a, landmarks), index_of(b, landmarks)) for a, b in pairs)
    flat = [i for pair in found for i in pair]
    if len(set(flat)) < len(flat):
        twice = next(landmarks[i] for i in flat if flat.count(i) > 1)
        raise InvalidInputError(f"pairs name {twice} twice")
    return found


def likely_pairs(project: Project) -> tuple[tuple[str, str], ...]:
    """Return the pairs that the project's files name, else those that the names tell."""
    return project.pairs or pairs_by_name(project.names)


def pairs_by_name(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return (left, right) of names that differ in that word, or in a letter set off by "_".

    Example:
        >>> pairs_by_name(["leftLip", "rightLip", "paw_R", "paw_L", "nose", "lower"])
        (('leftLip', 'rightLip'), ('paw_L', 'paw_R'))
    """
    found = []
    for name in names:
        for left, right in _SIDES:
            found += [(name, other) for other in _swapped(name, left, right) if other in names]
        for left, right in _LETTERS:
            for pattern, new in ((rf"^{left}_", f"{right}_"), (rf"_{left}$", f"_{right}")):
                other = re.sub(pattern, new, name)
                found += [(name, other)] if other != name and other in names else []
    return tuple(dict.fromkeys(found))


def _swapped(name: str, left: str, right: str) -> list[str]:
    return [name.replace(left, right, 1)] if left in name else []
