"""The study of Distill-DKP as the leaderboards show it: one page and its plots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kpbench.boards.leaderboard import Study
from kpbench.boards.pages.plots import Plot
from kpbench.records.folders import Folders
from kpbench.records.published import PublishedNumber
from kpbench.records.record import Identity
from kpbench.studies.page import NAME, pages, plots
from kpbench.studies.plan import only_in_figure
from kpbench.studies.results import read_study


class DistillDkp:
    """See `kpbench.boards.leaderboard.Study`."""

    titles = {NAME: "Distill-DKP's tables and figure, on rendered people"}  # noqa: RUF012

    def alone(self, runs: Iterable[Identity]) -> set[str]:
        """Return the digests of the points of the figure: they are no entries of a leaderboard."""
        return only_in_figure(runs)

    def rendered(
        self, results: Folders, published: Sequence[PublishedNumber]
    ) -> tuple[dict[str, str], dict[str, Plot]]:
        """Return the page and the plots of the study's runs."""
        studied = read_study(results)
        return pages(studied, published), plots(studied)


STUDIES: tuple[Study, ...] = (DistillDkp(),)
"""All studies, whose pages `kpbench leaderboard` writes."""
