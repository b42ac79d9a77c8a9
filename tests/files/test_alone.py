"""One process at a time in a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kpbench.errors import StorageError
from kpbench.files.alone import alone_in, lock_of

HOLDS = """
import sys
from pathlib import Path
from kpbench.files.alone import alone_in
with alone_in(Path(sys.argv[1]), lambda: None):
    print("in", flush=True)
    sys.stdin.readline()
"""


def test_another_process_waits_and_knows_that_it_did(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "training"
    command = [sys.executable, "-c", HOLDS, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == "in\n"
        told: list[int] = []

        def waiting() -> None:
            told.append(1)
            if len(told) == 2:
                assert other.stdin is not None
                other.stdin.close()

        with alone_in(folder, waiting) as waited:
            assert waited and len(told) >= 2
    with alone_in(folder, lambda: pytest.fail("nobody is there")) as waited:
        assert not waited
    assert not folder.exists() and lock_of(folder).parent == folder.parent


def test_who_does_not_want_to_wait_need_not(tmp_path: Path) -> None:
    def refuse() -> None:
        raise StorageError("occupied")

    folder = tmp_path / "training"
    with (
        alone_in(folder, refuse),
        pytest.raises(StorageError, match="occupied"),
        alone_in(folder, refuse),
    ):
        raise AssertionError("two are in it")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StorageError, match="choose a folder"),
        alone_in(tmp_path / "file" / "training", lambda: None),
    ):
        pass
