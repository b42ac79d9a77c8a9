"""What machine and code produced a result. No environment variable, no absolute path, no secret."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import traceback
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kpbench.records.record import Failure

PACKAGES = ("kpbench", "torch", "torchvision", "lightning", "numpy", "scipy", "scikit-learn")


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache
def packages() -> dict[str, str]:
    """Return the versions of the packages that may change a result."""
    return {name: found for name in PACKAGES if (found := _version(name))}


def collect(device: str) -> dict[str, Any]:
    """Describe this machine and this code."""
    return {
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "gpu": _gpu() if device == "cuda" else None,
        "os": f"{platform.system()} {platform.machine()}",
        "packages": dict(packages()),
        "python": platform.python_version(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the checkout's commit, "+" appended when files were changed; None outside of one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--", "kpbench", "methods", "protocols")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "")


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=root, check=True, capture_output=True, text=True, timeout=20
    )
    return done.stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _gpu() -> str:
    torch = sys.modules.get("torch")
    return str(torch.cuda.get_device_name(0)) if torch is not None else "unknown"


def failure_of(error: Exception) -> Failure:
    """Return what a record says of an error: module and line, no absolute path."""
    frames = traceback.extract_tb(error.__traceback__)
    where = ""
    if frames:
        path = Path(frames[-1].filename)
        where = f"{path.parent.name}/{path.name}:{frames[-1].lineno}"
    return Failure(type=type(error).__name__, message=_without_paths(str(error)), where=where)


def _without_paths(text: str) -> str:
    """Keep only the last part of absolute paths: a record tells nothing about the machine."""
    return re.sub(r"(?<![\w.~/])(?:[A-Za-z]:[\\/]|~?/)(?:[^\s/\\:'\"]+[/\\])+", "…/", text)
