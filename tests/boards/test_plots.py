"""Plots: current means drawn from the same numbers, whatever the pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from kpbench.boards.pages.plots import LARGEST, Plot, digest_in, is_current, write_plot
from kpbench.errors import InvalidInputError


def line(figure: Figure) -> None:
    figure.add_subplot().plot([1, 2], [3, 4])


def test_a_plot_is_current_until_its_data_changes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.png"
    write_plot(path, Plot({"x": [1, 2], "name": "a"}, line))
    assert is_current(
        path, Plot({"name": "a", "x": [1, 2]}, line)
    )  # the order of keys says nothing
    assert not is_current(path, Plot({"x": [1, 3], "name": "a"}, line))
    with Image.open(path) as image:
        assert image.format == "PNG" and image.width > 300
    assert path.stat().st_size <= LARGEST


def test_current_does_not_look_at_pixels(tmp_path: Path) -> None:
    def other(figure: Figure) -> None:
        figure.suptitle("other")

    write_plot(tmp_path / "a.png", Plot([1], other))
    assert is_current(tmp_path / "a.png", Plot([1], line))


@pytest.mark.parametrize("content", [None, b"", b"no PNG", "other", "half"])
def test_files_that_are_no_plot_are_not_current(
    tmp_path: Path, content: bytes | str | None
) -> None:
    plot, path = Plot([1], line), tmp_path / "a.png"
    if content == "half":
        write_plot(path, plot)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif content == "other":
        Image.new("RGB", (4, 4)).save(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    assert digest_in(path) is None
    assert not is_current(path, plot)


def test_a_plot_with_too_much_in_it_is_drawn_coarser_or_refused(tmp_path: Path) -> None:
    def noise(figure: Figure) -> None:
        rng = np.random.default_rng(0)
        figure.figimage(rng.random((1200, 1200, 3)))

    with pytest.raises(InvalidInputError, match="draw less"):
        write_plot(tmp_path / "a.png", Plot([1], noise))
    assert list(tmp_path.iterdir()) == []


def test_data_that_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        Plot([float("nan")], line).digest()
