"""Cloning one folder of a public repository, at one commit, through git."""

from __future__ import annotations

import subprocess
from pathlib import Path

from kpbench.data.dataset import Clone
from kpbench.errors import InvalidInputError, MissingDataError, MissingPackageError, StorageError


def clone(wanted: Clone, folder: Path) -> Path:
    """Clone a repository without its history and return the folder of the data in it.

    Only the wanted folder is checked out. A clone that was broken off goes on.

    Args:
        wanted: which repository, commit and folder.
        folder: where to; must not exist, be empty, or hold such a clone.

    Raises:
        InvalidInputError: the folder holds something else.
        MissingPackageError: git is not installed.
        MissingDataError: the repository cannot be reached or lacks the commit or the folder.
        StorageError: the folder cannot be made.
    """
    if folder.exists() and not (folder / ".git").is_dir() and any(folder.iterdir()):
        raise InvalidInputError(f"{folder} is not empty; name a new folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {folder}: {error.strerror or error}") from error
    if not (folder / ".git").is_dir():
        _git(folder, "init", "--quiet")
        _git(folder, "remote", "add", "origin", wanted.repository)
    elif _git(folder, "remote", "get-url", "origin").strip() != wanted.repository:
        raise InvalidInputError(f"{folder} is a clone of something else; name a new folder")
    if wanted.folder:
        _git(folder, "sparse-checkout", "set", wanted.folder)
    _git(folder, "fetch", "--depth", "1", "--filter=blob:none", "origin", wanted.commit)
    _git(folder, "checkout", "--quiet", "--detach", wanted.commit)
    root = folder / wanted.folder
    if not root.is_dir():
        raise MissingDataError(f"{wanted.repository} at {wanted.commit} has no {wanted.folder}")
    return root.absolute()


def _git(folder: Path, *words: str) -> str:
    """Run git; its progress is shown, as it writes it."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], stdout=subprocess.PIPE, text=True, check=True
        )
    except FileNotFoundError:
        raise MissingPackageError("cloning needs git, which is not installed") from None
    except subprocess.CalledProcessError as error:
        raise MissingDataError(
            f"git {words[0]} failed in {folder} (exit code {error.returncode}); see above. With no "
            "network, copy a clone from elsewhere and name it: kpbench data path NAME DIR"
        ) from error
    return done.stdout
