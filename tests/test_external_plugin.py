"""A stranger's package: written by `kpbench new`, installed by pip, found, checked, evaluated."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kpbench.cli.main import main
from kpbench.cli.scaffold import new_method_package
from kpbench.errors import InvalidInputError
from tests.conftest import TOY_PROTOCOL

PROTOCOL_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "discs"
version = "1.0"
[project.entry-points."kpbench.protocols"]
discs = "discs"
[tool.setuptools]
packages = ["discs"]
"""


def pip_install(source: Path, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)


def kpbench(site: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kpbench", *words],
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_stranger_gets_a_number(tmp_path: Path) -> None:
    package, site = tmp_path / "package", tmp_path / "site"
    assert main(["new", "method", "shiny_spots", "--folder", str(package)]) == 0
    pip_install(package, site)
    protocol = tmp_path / "protocol"
    (protocol / "discs").mkdir(parents=True)
    (protocol / "pyproject.toml").write_text(PROTOCOL_PYPROJECT)
    (protocol / "discs" / "__init__.py").write_text('"""Discs."""\n')
    (protocol / "discs" / "toy_discs.py").write_text(TOY_PROTOCOL)
    pip_install(protocol, site)
    listed = kpbench(site, tmp_path, "list")
    assert "shiny_spots" in listed.stdout
    assert "toy_discs" in listed.stdout
    checked = kpbench(site, tmp_path, "check", "shiny_spots")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    words = ["evaluate", "-m", "shiny_spots", "-m", "mean_shape", "-p", "toy_discs"]
    done = kpbench(site, tmp_path, *words, "--recipe", "smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "results").rglob("smoke-0-*.json"))) == 2


@pytest.mark.parametrize("trained", [False, True])
def test_the_generated_tests_pass_and_the_code_is_clean(tmp_path: Path, trained: bool) -> None:
    site = tmp_path / "site"
    package = new_method_package("shiny_spots", tmp_path / "package", trained=trained)
    source = package / "kpbench_shiny_spots" / "shiny_spots.py"
    assert ("TorchMethod" in source.read_text()) is trained
    assert len(source.read_text().splitlines()) < 60
    pip_install(package, site)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests"],
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=package,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    lint = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,F,UP,B"]
    lint += ["--line-length", "100", "kpbench_shiny_spots", "tests"]
    subprocess.run(lint, cwd=package, check=True)


@pytest.mark.parametrize("name", ["Two Words", "class", "_hidden", "autolink", "CamelCase", "9x"])
def test_unusable_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=name):
        new_method_package(name, tmp_path / "package")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InvalidInputError, match="not empty"):
        new_method_package("fresh", tmp_path)
