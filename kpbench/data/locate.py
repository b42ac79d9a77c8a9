"""Where a data set lies: an environment variable, or the user's config.

The variable is KPBENCH_DATA_ and the data set's name in capitals, e.g. KPBENCH_DATA_HUMAN36M. The
config is `data.json` in $KPBENCH_CONFIG, or in the user's config folder.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from kpbench.errors import InvalidInputError, MissingDataError
from kpbench.files.atomic import user_config, write_atomically


def find_root(dataset: str) -> Path | None:
    """Return the folder of a data set as the user named it, or None; it need not exist.

    Raises:
        InvalidInputError: the config is damaged; names the file.
    """
    found = located(dataset)
    return None if found is None else found[0]


def located(dataset: str) -> tuple[Path, str] | None:
    """Return the folder of a data set and what named it, or None.

    Raises:
        InvalidInputError: the config is damaged; names the file.
    """
    variable = variable_of(dataset)
    if chosen := os.environ.get(variable):
        return Path(chosen).expanduser().absolute(), f"the environment variable {variable}"
    chosen = _saved().get(dataset)
    return None if chosen is None else (Path(chosen), str(config_file()))


def require_root(dataset: str) -> Path:
    """Return the folder of a data set as the user named it; it need not exist.

    Raises:
        MissingDataError: the user named none; says how to get the data and how to name the folder.
        InvalidInputError: the config is damaged; names the file.
    """
    root = find_root(dataset)
    if root is None:
        raise MissingDataError(
            f"kpbench does not know where {dataset} is; where to get it says: kpbench data info "
            f"{dataset}; when you have it, run: kpbench data path {dataset} DIR"
        )
    return root


def save_root(dataset: str, folder: Path) -> None:
    """Write to the user's config where a data set lies.

    Raises:
        InvalidInputError: there is no such folder, or the config is damaged; says what to do.
        StorageError: the config cannot be written.
    """
    folder = folder.expanduser().absolute()
    if folder.is_file():
        raise InvalidInputError(
            f"{folder} is a file; name the folder of the data set. An archive is unpacked by: "
            f"kpbench data extract {folder} DIR"
        )
    if not folder.is_dir():
        raise InvalidInputError(
            f"there is no folder {folder}; how {dataset} is laid out says: kpbench data info "
            f"{dataset}"
        )
    roots = {**_saved(), dataset: str(folder)}
    write_atomically(config_file(), json.dumps({"roots": roots}, indent=2).encode())


def forget_root(dataset: str) -> None:
    """Take a data set out of the user's config.

    Raises:
        InvalidInputError: the config is damaged.
        StorageError: the config cannot be written.
    """
    roots = _saved()
    if roots.pop(dataset, None) is not None:
        write_atomically(config_file(), json.dumps({"roots": roots}, indent=2).encode())


def variable_of(dataset: str) -> str:
    """Return the environment variable that names a data set's folder."""
    return f"KPBENCH_DATA_{dataset.upper()}"


def config_file() -> Path:
    """Return the file that `save_root` writes."""
    return user_config() / "data.json"


def _saved() -> dict[str, str]:
    path = config_file()
    if not path.exists():
        return {}
    try:
        roots = json.loads(path.read_text(encoding="utf-8-sig"))["roots"]
        return {str(name): str(Path(folder)) for name, folder in roots.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(
            f"{path} cannot be read ({error}); correct it, or delete it and name your data sets "
            "again with: kpbench data path NAME DIR"
        ) from error
