"""Does a plugin keep its contract? Used by our own tests and by plugin authors.

Each check raises `AssertionError`, in words, on the first broken promise.
"""

from __future__ import annotations

import json
import pickle
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kpbench.api import (
    Array,
    EvaluationProtocol,
    FitContext,
    Method,
    PreparedProtocol,
    Signal,
    Task,
)
from kpbench.errors import (
    KpbenchError,
    MissingDataError,
    MissingPackageError,
    UnknownNameError,
)
from kpbench.registry import (
    KINDS,
    Kind,
    available,
    dataset_faults,
    faults,
    find_recipe,
    load_method,
    load_protocol,
)
from kpbench.running.checks import toy_labelled
from kpbench.running.tasks import task_for, task_of

__all__ = ["Checked", "check_installed", "check_method", "check_protocol", "toy_labelled"]


def check_method(method: Method, n_keypoints: int = 4) -> None:
    """Fit and predict on the toys of its task and check every promise of `kpbench.api.Method`.

    Args:
        method: a plugin; it is configured with the `smoke` recipe and left as it was.
        n_keypoints: K.

    Raises:
        AssertionError: a promise is broken; the message names method and promise.
        UnknownNameError: it is of a task that no installed protocol brings, or names a recipe that
            nobody declares.
    """
    who, task = method.name, task_for(method)
    for recipe in getattr(method, "recipes", {}):
        find_recipe(recipe)
    toys = task.toys()
    part, before = toys.test, pickle.dumps(toys)

    def found(fitted: Method, part: Any) -> Array:
        return task.numbers(task.predict(fitted, part, n_keypoints))

    fitted = _fitted(method, task, toys, n_keypoints)
    points = found(fitted, part)
    assert pickle.dumps(toys) == before, f"{who}: changed the images it was given"
    text = json.dumps(dict(fitted.params()), allow_nan=False)
    assert json.loads(text) == dict(fitted.params()), f"{who}: params() is not plain JSON"
    order = np.random.default_rng(1).permutation(len(part))
    shuffled = found(fitted, part[order])
    _close(
        shuffled, points[order], f"{who}: one image's keypoints depend on the others or on order"
    )
    alone = found(fitted, part[order[:1]])
    _close(alone, points[order[:1]], f"{who}: an image alone gets other keypoints than in a batch")
    _close(found(fitted, part), points, f"{who}: a second predict differs")
    again = found(_fitted(method, task, toys, n_keypoints), part)
    _close(again, points, f"{who}: the same seed gives another result")
    with tempfile.TemporaryDirectory() as folder:
        fitted.save(Path(folder))
        restored = _configured(method)
        restored.load(Path(folder))
        _close(found(restored, part), points, f"{who}: load is not what was saved")


def _configured(method: Method) -> Method:
    return method.configured(role="human36m", recipe="smoke", overrides={})


def _fitted(method: Method, task: Task, toys: Any, n_keypoints: int) -> Method:
    dependency = None
    if method.depends_on is not None:
        dependency = _fitted(load_method(method.depends_on), task, toys, n_keypoints)
    fitted = _configured(method)
    fitted.fit(
        task.discovery(toys, method, "the set of toys"),
        n_keypoints=n_keypoints,
        seed=0,
        context=FitContext(recipe="smoke", dependency=dependency),
    )
    return fitted


def _close(found: Array, wanted: Array, message: str) -> None:
    gap = float(np.abs(found - wanted).max())
    assert gap < 1e-4, f"{message} (largest difference {gap:.2g} of the image size)"


def check_protocol(protocol: EvaluationProtocol) -> None:
    """Load the `smoke` data and check every promise of `kpbench.api.EvaluationProtocol`.

    What is checked of the data, its task says: see `Task.check_data`. Signals that are computed,
    and were not, are left out.

    Raises:
        AssertionError: a promise is broken; the message names protocol and promise.
        MissingDataError: the protocol's data is not on this machine.
    """
    who, signals = protocol.name, _computed_signals(protocol)
    splits = protocol.splits("smoke", signals=signals)
    names = [spec.name for spec in protocol.evaluators]
    assert protocol.evaluator in names, f"{who}: {protocol.evaluator} is none of {names}"
    task_of(protocol).check_data(protocol, splits, signals)
    smoke, quick = protocol.fingerprint("smoke"), protocol.fingerprint("quick")
    assert protocol.fingerprint("smoke") == smoke, f"{who}: fingerprint"
    if dict(protocol.sizes("smoke")) != dict(protocol.sizes("quick")):  # known once fingerprinted
        assert smoke != quick, f"{who}: fingerprint"


def _computed_signals(protocol: EvaluationProtocol) -> tuple[Signal, ...]:
    """Return the signals that can be loaded here."""
    if not isinstance(protocol, PreparedProtocol):
        return tuple(protocol.signals)
    protocol.prepare("smoke")

    def computed(signal: Signal) -> bool:
        try:
            protocol.signal_fingerprint("smoke", [signal])
        except MissingDataError:
            return False
        return True

    return tuple(signal for signal in protocol.signals if computed(signal))


@dataclass(frozen=True)
class Checked:
    """The result of checking one plugin."""

    kind: Kind
    name: str
    status: Literal["ok", "skipped", "failed"]
    reason: str = ""


def check_installed(names: Sequence[str] = ()) -> list[Checked]:
    """Check the named plugins, or all that are installed and all that cannot take part.

    Raises:
        UnknownNameError: nothing of that name is installed.
    """
    known = [(kind, name) for kind in KINDS for name in available(kind)]
    wrong = [fault for kind in KINDS for fault in faults(kind)]
    if not set(names) <= {name for _, name in known} or not names:
        wrong += dataset_faults()
    everything = {name for _, name in known} | {fault.name for fault in wrong}
    for name in names:
        if name not in everything:
            raise UnknownNameError.of("plugin", name, everything)
    found = [_check(kind, name) for kind, name in known if not names or name in names]
    failed = [Checked(fault.kind, fault.name, "failed", str(fault.error)) for fault in wrong]
    return found + [fault for fault in failed if not names or fault.name in names]


def _check(kind: Kind, name: str) -> Checked:
    try:
        if kind == "methods":
            check_method(load_method(name))
        else:
            check_protocol(load_protocol(name))
    except (MissingDataError, MissingPackageError) as error:
        return Checked(kind, name, "skipped", str(error))
    except (AssertionError, KpbenchError) as error:
        return Checked(kind, name, "failed", str(error))
    except Exception as error:
        return Checked(kind, name, "failed", f"{type(error).__name__}: {error}")
    return Checked(kind, name, "ok")
