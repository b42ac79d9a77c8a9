"""Tables of keypoints are those that other programs expect, and a full disk is an error."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kpbench.errors import MissingPackageError
from kpbench.files.hdf5 import read_h5
from kpbench.files.video.hdf5_track import Hdf5Track
from kpbench.files.video.tracks import (
    Rows,
    TextTrack,
    csv_head,
    csv_lines,
    json_head,
    json_lines,
)

pytest.importorskip("h5py")

SIZE = 640, 480
K = 3


def rows(first: int, n: int, *, known: bool = True) -> Rows:
    rng = np.random.default_rng(first)
    likelihood = rng.random((n, K)) if known else None
    times = [Fraction(first + i, 25) for i in range(n)]
    return Rows(first, times, rng.random((n, K, 2)), likelihood, SIZE)


PARTS = [rows(0, 200), rows(200, 1), rows(201, 300, known=False)]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Return a folder with the three files."""
    with ExitStack() as stack:
        tracks: list[TextTrack | Hdf5Track] = [
            TextTrack(tmp_path / "a.csv", csv_head("kpbench_me", K), csv_lines),
            TextTrack(tmp_path / "a.jsonl", json_head({"video": "a"}), json_lines),
            Hdf5Track(tmp_path / "a.h5", "kpbench_me", K),
        ]
        for track in tracks:
            stack.enter_context(track)
            for part in PARTS:
                track.add(part)
    return tmp_path


def test_a_pixel_is_a_whole_number_at_its_centre() -> None:
    corner, centre = [0.5 / 640, 0.5 / 480], [0.5, 0.5]
    one = Rows(0, [None], np.array([[corner, centre]]), np.array([[0.25, 1 / 3]]), SIZE)
    assert one.table().tolist() == [[0, 0, 0.25, 319.5, 239.5, 0.333333]]


def test_pandas_reads_the_csv_as_deeplabcuts(written: Path) -> None:
    table = pd.read_csv(written / "a.csv", header=[0, 1, 2], index_col=0)
    assert table.columns.names == ["scorer", "bodyparts", "coords"]
    assert [tuple(column) for column in table.columns[:4]] == [
        ("kpbench_me", "keypoint0", "x"),
        ("kpbench_me", "keypoint0", "y"),
        ("kpbench_me", "keypoint0", "likelihood"),
        ("kpbench_me", "keypoint1", "x"),
    ]
    assert list(table.index) == list(range(501))
    np.testing.assert_allclose(table, np.concatenate([part.table() for part in PARTS]))
    assert table["kpbench_me"]["keypoint1"]["likelihood"].isna().sum() == 300


def test_an_unknown_likelihood_is_an_empty_cell(written: Path) -> None:
    last = (written / "a.csv").read_text().splitlines()[-1].split(",")
    assert last[0] == "500"
    assert last[3::3] == ["", "", ""]
    assert all(float(cell) >= 0 for cell in last[1::3])


def test_pandas_reads_the_same_table_from_hdf5(written: Path) -> None:
    pytest.importorskip("tables")
    found = pd.read_hdf(written / "a.h5")
    wanted = pd.read_csv(written / "a.csv", header=[0, 1, 2], index_col=0)
    pd.testing.assert_frame_equal(found, wanted)  # type: ignore[arg-type]


def test_without_pandas_the_hdf5_file_is_plain(written: Path) -> None:
    values, frames = "df_with_missing/block0_values", "df_with_missing/axis1"
    found = read_h5(written / "a.h5", values, frames)
    np.testing.assert_array_equal(found[values], np.concatenate([p.table() for p in PARTS]))
    np.testing.assert_array_equal(found[frames], np.arange(501))


def test_the_json_has_a_line_a_frame(written: Path) -> None:
    head, *lines = [json.loads(line) for line in (written / "a.jsonl").read_text().splitlines()]
    assert head == {"video": "a"}
    assert [line["frame"] for line in lines] == list(range(501))
    assert (lines[1]["time"], lines[200]["time"]) == (0.04, 8.0)
    np.testing.assert_allclose(lines[200]["keypoints"], PARTS[1].points[0], atol=1e-6)
    assert PARTS[1].likelihood is not None
    np.testing.assert_allclose(lines[200]["likelihood"], PARTS[1].likelihood[0], atol=1e-6)
    assert lines[201]["likelihood"] is None


def test_a_time_that_is_not_known_is_null() -> None:
    [line] = json_lines(Rows(7, [None], np.zeros((1, 1, 2)), None, SIZE)).splitlines()
    assert json.loads(line) == {
        "frame": 7,
        "time": None,
        "keypoints": [[0, 0]],
        "likelihood": None,
    }


def test_without_h5py_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingPackageError, match=r'pip install "kpbench\[video\]"'):
        Hdf5Track(tmp_path / "a.h5", "me", K)


FULL = """
import resource, signal, sys
import numpy as np
from pathlib import Path
from kpbench.errors import StorageError
from kpbench.files.video.hdf5_track import Hdf5Track
from kpbench.files.video.tracks import Rows
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with Hdf5Track(Path(sys.argv[2]), "me", 16) as track:
        for first in range(0, 6400, 64):
            track.add(Rows(first, [None] * 64, np.zeros((64, 16, 2)), None, (64, 64)))
except StorageError as error:
    sys.exit(7 if "a.h5" in str(error) else 8)
"""


@pytest.mark.parametrize("limit", [1_000, 10_000, 500_000, 2_400_000, 100_000_000])
def test_a_full_disk_neither_crashes_hdf5_nor_goes_unnoticed(limit: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(limit), str(tmp_path / "a.h5")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == (0 if limit == 100_000_000 else 7), done.stderr
