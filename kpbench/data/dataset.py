"""What a data set is, where it comes from, and what of it is on this machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kpbench.data.locate import located
from kpbench.errors import InvalidInputError
from kpbench.scoring.spec import EvaluatorSpec


@dataclass(frozen=True)
class Clone:
    """A public repository that a data set lies in; see `kpbench data fetch`.

    Attributes:
        repository: its address, as `git clone` takes it.
        commit: which state of it, 40 hexadecimal digits.
        folder: the data set's in it, "" for all of it.
        megabytes: of the folder's files.
        unclear: what nobody has stated: licence, terms, how the labels came about.
    """

    repository: str
    commit: str
    folder: str
    megabytes: float
    unclear: str = ""


@dataclass(frozen=True)
class Dataset:
    """What a user has to know to get a data set and to lay it out, and how runs on it are scored.

    A module or folder of protocols that sets `DATASET` to one is found by all commands. Such a
    module has to be light: it is imported whenever evaluators are listed.

    Attributes:
        name: what it is called in commands and in the names of its evaluators.
        title: its name in the papers.
        about: what it shows, and who labelled it.
        licence: what it may be used for.
        source: where to ask for it, or to download it.
        layout: its files, as a tree; "" where kpbench reads none.
        needs: files and folders that must be there; "a|b" for either.
        evaluators: those that every run is scored under, the papers' first and the strict one last.
        further: a paper's rule on another data set than the paper's, or one under which even
            perfect detections do not get a perfect score; only `kpbench disagreement` and
            `kpbench score` use them.
        clone: the public repository that it lies in, if it does.

    Raises:
        InvalidInputError: a name that no command and no environment variable can hold.
    """

    name: str
    title: str
    about: str
    licence: str
    source: str
    layout: str = ""
    needs: Sequence[str] = ()
    evaluators: Sequence[EvaluatorSpec] = ()
    further: Sequence[EvaluatorSpec] = ()
    clone: Clone | None = None

    def __post_init__(self) -> None:
        """Check the name."""
        if not re.fullmatch(r"[a-z0-9_]+", self.name):
            raise InvalidInputError(
                f"a data set cannot be called {self.name!r}; use a-z, 0-9 and _, e.g. my_cats"
            )

    def evaluators_beside(self, default: str, given: Sequence[str]) -> tuple[EvaluatorSpec, ...]:
        """Return the evaluators that a run is scored under: those with the default one's prefix.

        Args:
            default: name of the protocol's default evaluator.
            given: which of "boxes" and "aspect" the detections have; evaluators that need others
                are left out.
        """
        prefix = default.partition("/")[0]
        return tuple(
            spec
            for spec in self.evaluators
            if spec.dataset == prefix and set(spec.needs) <= set(given)
        )


@dataclass(frozen=True)
class State:
    """What is there of a data set.

    Attributes:
        status: "found"; "partial": files or folders are missing; "missing": the whole folder is, or
            the user named none.
        root: the folder that the user named, or None.
        named_by: what named it: an environment variable or the config file.
        missing: files and folders, relative to `root`.
    """

    status: Literal["found", "partial", "missing"]
    root: Path | None = None
    named_by: str = ""
    missing: Sequence[str] = ()


def state_of(dataset: Dataset) -> State:
    """Return what is there of a data set, without listing or reading images.

    Raises:
        InvalidInputError: the user's config is damaged; names the file.
    """
    place = located(dataset.name)
    if place is None:
        return State("missing")
    root, named_by = place
    if not root.is_dir():
        return State("missing", root, named_by)
    missing = [
        need.replace("|", " or ")
        for need in dataset.needs
        if not any((root / path).exists() for path in need.split("|"))
    ]
    return State("partial" if missing else "found", root, named_by, missing)
