"""The study of Distill-DKP's tables and figure (arXiv:2410.14700) on rendered people, as data.

Every entry is an ordinary cell of the grid, so that its record is one of the leaderboards, nothing
is trained twice, and a study that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from kpbench.errors import InvalidInputError, UnknownNameError
from kpbench.records.record import Identity, data_of
from kpbench.registry import on_boards, place_of
from kpbench.running.plan import Cell
from kpbench.running.resolve import Settings

Part = Literal["table1", "table2", "figure3"]
PARTS: tuple[Part, ...] = get_args(Part)
STUDENT, TEACHER, BOTH = METHODS = ("autolink", "depth_teacher", "distill_dkp")
"""Table 2's variants, student only, teacher only and both; the first and last are in Table 1."""
FLOOR = "mean_shape"
"""What every method has to beat: it sees no image."""
LAYERS = ("output", "transposed_conv", "resnet")
"""Figure 3's lines; the first is the published choice."""
_STUDIED = ("layer", "gamma", "lambda_", "weight_decay")
"""In which methods may differ; weights decay in AutoLink's code, and not in Distill-DKP's paper."""
_WIDE = (0.1, 0.2, 0.4, 0.7, 1.0)
_NARROW = (0.01, 0.02, 0.04, 0.07, 0.1)


@dataclass(frozen=True)
class DataSet:
    """A data set of the paper and the protocol that takes its role.

    Attributes:
        protocol: rendered people.
        published: the data set's name among the published numbers.
        title: the data set's name in the paper.
        gamma: the published weight of the distillation loss (section 4.2).
        gammas: Figure 3's axis: five values in the range of section 4.4; none where the data set
            is in Table 1 alone.
    """

    protocol: str
    published: str
    title: str
    gamma: float
    gammas: tuple[float, ...] = ()

    @property
    def points(self) -> list[tuple[str, float]]:
        """The published setting, then layer and gamma of the other points of Figure 3."""
        grid = [(layer, gamma) for layer in LAYERS for gamma in self.gammas]
        return list(dict.fromkeys([(LAYERS[0], self.gamma), *grid]))

    @property
    def evaluators(self) -> tuple[str, str]:
        """The paper's evaluator, which is AutoLink's, and the one that sees no test label."""
        return f"{self.protocol}/autolink", f"{self.protocol}/strict"


DATASETS = {
    dataset.protocol: dataset
    for dataset in (
        DataSet("people_plain", "human36m", "Human3.6M, w/o background", 0.1),
        DataSet("people_background", "human36m_background", "Human3.6M, w/ background", 0.1, _WIDE),
        DataSet("people_fashion", "deepfashion", "DeepFashion", 0.1, _NARROW),
        DataSet("people_taichi", "taichi", "Taichi", 0.4, _WIDE),
    )
}
"""In the order of Table 1's columns."""

Work = tuple[Cell, Settings]


def study(
    settings: Settings,
    *,
    seeds: Iterable[int],
    figure_seeds: Iterable[int],
    parts: Sequence[str] = (),
    protocols: Sequence[str] = (),
) -> list[Work]:
    """Return what has to be run, without repetition: the tables seed by seed, then the figure.

    Args:
        settings: of all runs; its overrides are replaced.
        seeds: of the tables.
        figure_seeds: of the figure.
        parts: names of `PARTS`; all if empty.
        protocols: names of `DATASETS`. If empty: all, but for `quick` and `standard` the
            figure of `people_background` alone.

    Raises:
        UnknownNameError: no such part or protocol.
        InvalidInputError: no part shows any of the protocols.
    """
    for kind, names, known in (("part", parts, PARTS), ("protocol", protocols, tuple(DATASETS))):
        for name in names:
            if name not in known:
                raise UnknownNameError.of(kind, name, known)
    parts = parts or PARTS
    chosen = [dataset for name, dataset in DATASETS.items() if name in (protocols or DATASETS)]
    in_figure = [dataset for dataset in chosen if dataset.gammas]
    tables = chosen if "table1" in parts else in_figure if "table2" in parts else []
    if not protocols and settings.recipe in ("quick", "standard"):
        in_figure = [DATASETS["people_background"]]
    work = list(_own_cells(tables, seeds, settings))
    if "figure3" in parts:
        figure_seeds = list(figure_seeds)
        work += _own_cells(in_figure, figure_seeds, settings)
        work += _figure_cells(in_figure, figure_seeds, settings)
    if not work:
        raise InvalidInputError(f"{', '.join(parts)} shows none of {', '.join(protocols)}")
    return [item for i, item in enumerate(work) if item not in work[:i]]


def _own_cells(
    datasets: Sequence[DataSet], seeds: Iterable[int], settings: Settings
) -> Iterator[Work]:
    plain = replace(settings, overrides={})
    for seed in seeds:
        for dataset in datasets:
            for method in METHODS:
                yield Cell(method, dataset.protocol, seed), plain


def _figure_cells(
    datasets: Sequence[DataSet], seeds: Iterable[int], settings: Settings
) -> Iterator[Work]:
    for seed in seeds:
        for dataset in datasets:
            for layer, gamma in dataset.points[1:]:
                own = {"layer": layer, "gamma": gamma}
                yield Cell(BOTH, dataset.protocol, seed), replace(settings, overrides={BOTH: own})


def point_of(who: Identity) -> tuple[str, float] | None:
    """Return layer and the paper's gamma of a Distill-DKP run of the study, None for other runs."""
    dataset = DATASETS.get(who.protocol)
    if dataset is None or who.method != BOTH or who.params.get("lambda_") != 1:
        return None
    for layer, gamma in dataset.points:
        own = {"layer": layer, "gamma": gamma}
        if own == {name: who.params.get(name) for name in own}:
            return layer, gamma
    return None


def takes_part(who: Identity) -> bool:
    """Return whether a run may be of the study: one as `study` plans it, whatever its training."""
    return (
        who.protocol in DATASETS
        and on_boards(who.recipe)
        and is_plain(who)
        and shared_params(who) is not None
        and (point_of(who) is not None if who.method == BOTH else who.method in METHODS)
    )


def is_plain(who: Identity) -> bool:
    """Return whether a run was trained on the protocol as it is."""
    return who.trained_on is None and who.pretrained is None and not who.arguments


def shared_params(who: Identity) -> str | None:
    """Return the parameters that the methods share; None if student and teacher differ in them."""
    own = {name: value for name, value in who.params.items() if name not in _STUDIED}
    text = json.dumps(own, sort_keys=True)
    return None if who.dependency is not None and shared_params(who.dependency) != text else text


def in_figure_alone(who: Identity) -> bool:
    """Return whether a run is a point of Figure 3 other than the published setting."""
    return takes_part(who) and point_of(who) not in (None, DATASETS[who.protocol].points[0])


def selected(runs: Iterable[Identity]) -> list[list[Identity]]:
    """Return the runs of the study, a list for each recipe, class of device and protocol.

    Of several versions of a protocol or a method the newest is taken, of several other settings
    that with most records. Runs of a recipe that is on no board, transfers, shipped weights and
    runs with arguments are no part of it.
    """
    groups: dict[tuple[tuple[float, str], str, int], list[Identity]] = {}
    order = list(DATASETS)
    for who in filter(takes_part, runs):
        key = place_of(who.recipe), who.device, order.index(who.protocol)
        groups.setdefault(key, []).append(who)
    return [_alike(groups[key]) for key in sorted(groups)]


def only_in_figure(runs: Iterable[Identity]) -> set[str]:
    """Return the digests of the runs that the study's page shows as points of its figure.

    They are shown there and nowhere else: they are not entries of a leaderboard.
    """
    return {who.digest() for group in selected(runs) for who in group if in_figure_alone(who)}


def _alike(runs: Sequence[Identity]) -> list[Identity]:
    runs = _most(runs, lambda who: (who.protocol_version, data_of(who)))
    for method in METHODS:
        newest = max((_versions(who) for who in runs if who.method == method), default=())
        runs = [who for who in runs if who.method != method or _versions(who) == newest]
    return _most(runs, lambda who: (0, str(shared_params(who))))


def _most(runs: Sequence[Identity], key: Callable[[Identity], tuple[int, str]]) -> list[Identity]:
    """Return the runs of the highest number in the key, and among these of the commonest."""
    keys = [key(who) for who in runs]
    best = max(keys, key=lambda each: (each[0], keys.count(each), each[1]))
    return [who for who, each in zip(runs, keys, strict=True) if each == best]


def _versions(who: Identity) -> tuple[int, ...]:
    other = who.dependency
    return who.method_version, 0 if other is None else other.method_version
