"""Evaluators by their names, asked of the data set or the protocol that the prefix names.

No other plugin is imported for it, so that one that is broken or slow is in nobody's way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from kpbench.errors import KpbenchError, UnknownNameError
from kpbench.registry import (
    available,
    datasets,
    load_dataset,
    load_protocol,
    loadable_datasets,
)
from kpbench.scoring.spec import EvaluatorSpec, by_rule


def get_evaluator(name: str) -> EvaluatorSpec:
    """Return the evaluator of that name, of a data set or of an installed protocol.

    Raises:
        UnknownNameError: there is none; names the protocols that could not be asked.
        BrokenPluginError: the data set or protocol that its prefix names cannot be imported.

    Example:
        >>> get_evaluator("taichi/siarohin").metric
        'cumulative MAE'
    """
    every_run, further = _of(name.partition("/")[0])
    for spec in (*every_run, *further):
        if spec.name == name:
            return spec
    raise _unknown("evaluator", name, lambda spec: spec.name)


def evaluators_of(dataset: str, given: Sequence[str] = ()) -> list[EvaluatorSpec]:
    """Return the evaluators that every run on a data set is scored under, the strict one last.

    Args:
        dataset: the data set part of their names.
        given: which of "boxes" and "aspect" the detections have; evaluators that need others are
            left out.

    Raises:
        UnknownNameError: there is none for that data set.
        BrokenPluginError: as `get_evaluator`.

    Example:
        >>> [spec.name for spec in evaluators_of("cub")]
        ['cub/autolink', 'cub/stablekeypoints', 'cub/scops', 'cub/strict']
        >>> [spec.name for spec in evaluators_of("cub", given=("boxes",))][3:]
        ['cub/huang', 'cub/choudhury', 'cub/strict']
    """
    every_run, _ = _known(dataset)
    return [spec for spec in every_run if set(spec.needs) <= set(given)]


def disagreement_evaluators(dataset: str) -> list[EvaluatorSpec]:
    """Return every evaluator of a data set: those of every run, then the further ones.

    The further ones are a paper's rule on another data set than the paper's, or reproduce a fault
    under which even perfect detections do not get a perfect score.

    Raises:
        UnknownNameError: there is none for that data set.
        BrokenPluginError: as `get_evaluator`.

    Example:
        >>> [spec.name for spec in disagreement_evaluators("deepfashion")][-2:]
        ['deepfashion/strict', 'deepfashion/lorenz_on_test']
    """
    every_run, further = _known(dataset)
    return [*every_run, *further]


def same_rules(names: Sequence[str]) -> list[list[str]]:
    """Return evaluators that are one rule under several names together, in order of the first.

    Who cannot be asked, because its plugin is not installed, is on its own.

    Example:
        >>> same_rules(["taichi/siarohin", "taichi/stablekeypoints", "taichi/strict"])
        [['taichi/siarohin', 'taichi/strict'], ['taichi/stablekeypoints']]
    """
    known: dict[str, EvaluatorSpec] = {}
    for dataset in {name.partition("/")[0] for name in names}:
        with suppress(KpbenchError):
            known |= {spec.name: spec for part in _of(dataset) for spec in part}
    groups = by_rule(known[name] for name in names if name in known)
    found = [[spec.name for spec in group] for group in groups]
    found += [[name] for name in names if name not in known]
    return sorted(found, key=lambda group: names.index(group[0]))


def has_evaluators(dataset: str) -> bool:
    """Tell whether evaluators of a data set are known here."""
    try:
        return bool(_of(dataset)[0])
    except KpbenchError:
        return False


def evaluators_in(modules: Iterable[str]) -> dict[str, EvaluatorSpec]:
    """Return the evaluators of the data sets that these modules describe, by name.

    Args:
        modules: names of modules, keys of `registry.datasets()`; those that cannot be imported are
            left out.
    """
    found: dict[str, EvaluatorSpec] = {}
    for module in modules:
        try:
            dataset = load_dataset(module)
        except KpbenchError:
            continue
        found |= {spec.name: spec for spec in (*dataset.evaluators, *dataset.further)}
    return found


def _known(dataset: str) -> tuple[list[EvaluatorSpec], list[EvaluatorSpec]]:
    every_run, further = _of(dataset)
    if not every_run:
        raise _unknown("data set with evaluators", dataset, lambda spec: spec.dataset)
    return every_run, further


def _of(prefix: str) -> tuple[list[EvaluatorSpec], list[EvaluatorSpec]]:
    """Return the evaluators of every run and the further ones whose names begin so."""
    for owner in _owners(prefix):
        every_run = [spec for spec in owner.evaluators if spec.dataset == prefix]
        if every_run:
            others = getattr(owner, "further", ())
            return every_run, [spec for spec in others if spec.dataset == prefix]
    return [], []


def _owners(prefix: str) -> Iterator[Any]:
    """Yield the data sets and protocols that may have evaluators of that prefix, importing late."""
    if prefix in datasets():
        yield load_dataset(prefix)
    if prefix in available("protocols"):
        yield load_protocol(prefix)
    if (named := loadable_datasets().get(prefix)) is not None:
        yield named


def _unknown(kind: str, name: str, called: Callable[[EvaluatorSpec], str]) -> UnknownNameError:
    """Return the error after asking everything that is installed, for a suggestion."""
    known, broken = evaluators_in(datasets()), []
    for protocol in available("protocols"):
        try:
            found = load_protocol(protocol)
            specs = (*found.evaluators, *getattr(found, "further", ()))
            known |= {spec.name: spec for spec in specs}
        except Exception:  # whatever a plugin does must not keep the others from being asked
            broken.append(protocol)
    error = UnknownNameError.of(kind, name, {called(spec) for spec in known.values()})
    if not broken:
        return error
    return UnknownNameError(f"{error} (these protocols cannot be loaded: {', '.join(broken)})")
