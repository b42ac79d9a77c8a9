"""Does a plugin keep its contract? Used by our own tests and by plugin authors.

Each check raises `AssertionError`, in words, on the first broken promise.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from kpbench.api import (
    Array,
    EvaluationProtocol,
    FitContext,
    ImageSet,
    Keypoints,
    Labelled,
    Method,
    PreparedProtocol,
    Signal,
    Splits,
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
    load_method,
    load_protocol,
)
from kpbench.running.measure import detections, predict
from kpbench.scoring.evaluators import EvaluatorSpec, evaluate
from kpbench.scoring.flips import permutation


def toy_labelled(n: int = 12, size: int = 32, seed: int = 0) -> Labelled:
    """Return small images of a bright disc before noise, with every signal and 4 landmarks."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0.35, 0.65, (n, 2))
    grid = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(grid, grid)
    distance = np.hypot(x - centre[:, :1, None], y - centre[:, 1:, None])
    mask = distance < 0.25
    images = rng.integers(0, 120, (n, size, size, 3), dtype=np.uint8)
    images[mask] = images[mask] // 2 + 150
    depth = np.where(mask, 2000, 4000).astype(np.uint16)
    offsets = np.array([[0, -0.2], [0.2, 0], [0, 0.2], [-0.2, 0]])
    return Labelled(
        ImageSet(images, depth=depth, mask=mask, frames=images[:, :, ::-1]),
        centre[:, None] + offsets,
        np.ones((n, 4), dtype=bool),
    )


def check_method(method: Method, n_keypoints: int = 4) -> None:
    """Fit and predict on toy images and check every promise of `kpbench.api.Method`.

    Args:
        method: a plugin; it is configured with the `smoke` recipe and left as it was.
        n_keypoints: K.

    Raises:
        AssertionError: a promise is broken; the message names method and promise.
    """
    who = method.name
    labelled = toy_labelled()
    before = labelled.images.images.copy()
    fitted = _fitted(method, labelled, n_keypoints)
    points = _points(fitted, labelled, n_keypoints)
    assert (labelled.images.images == before).all(), f"{who}: changed the images it was given"
    text = json.dumps(dict(fitted.params()), allow_nan=False)
    assert json.loads(text) == dict(fitted.params()), f"{who}: params() is not plain JSON"
    order = np.random.default_rng(1).permutation(len(labelled))
    shuffled = _points(fitted, labelled[order], n_keypoints)
    _close(
        shuffled, points[order], f"{who}: one image's keypoints depend on the others or on order"
    )
    alone = _points(fitted, labelled[order[:1]], n_keypoints)
    _close(alone, points[order[:1]], f"{who}: an image alone gets other keypoints than in a batch")
    _close(_points(fitted, labelled, n_keypoints), points, f"{who}: a second predict differs")
    again = _points(_fitted(method, labelled, n_keypoints), labelled, n_keypoints)
    _close(again, points, f"{who}: the same seed gives another result")
    with tempfile.TemporaryDirectory() as folder:
        fitted.save(Path(folder))
        restored = _configured(method)
        restored.load(Path(folder))
        _close(
            _points(restored, labelled, n_keypoints), points, f"{who}: load is not what was saved"
        )


def _configured(method: Method) -> Method:
    return method.configured(role="human36m", recipe="smoke", overrides={})


def _fitted(method: Method, labelled: Labelled, n_keypoints: int) -> Method:
    dependency = None
    if method.depends_on is not None:
        dependency = _fitted(load_method(method.depends_on), labelled, n_keypoints)
    fitted = _configured(method)
    fitted.fit(
        labelled.images.restricted(method.needs),
        n_keypoints=n_keypoints,
        seed=0,
        context=FitContext(recipe="smoke", dependency=dependency),
    )
    return fitted


def _points(method: Method, labelled: Labelled, n_keypoints: int) -> Array:
    return np.asarray(predict(method, labelled, n_keypoints).points)


def _close(found: Array, wanted: Array, message: str) -> None:
    gap = float(np.abs(found - wanted).max())
    assert gap < 1e-4, f"{message} (largest difference {gap:.2g} of the image size)"


def check_protocol(protocol: EvaluationProtocol) -> None:
    """Load the `smoke` data and check every promise of `kpbench.api.EvaluationProtocol`.

    Under every evaluator the oracle must be perfect and a constant predictor no better than the
    mean shape; test images and identities must not be in training (identities may, where the
    protocol says in `shared_identities` that the published split has them); sizes must be as
    announced. Signals that are computed, and were not, are left out.

    Raises:
        AssertionError: a promise is broken; the message names protocol and promise.
        MissingDataError: the protocol's data is not on this machine.
    """
    who, signals = protocol.name, _computed_signals(protocol)
    splits = protocol.splits("smoke", signals=signals)
    _check_sizes(protocol, splits, signals)
    _check_leaks(who, splits, identities=not getattr(protocol, "shared_identities", ""))
    smoke, quick = protocol.fingerprint("smoke"), protocol.fingerprint("quick")
    assert protocol.fingerprint("smoke") == smoke, f"{who}: fingerprint"
    if dict(protocol.sizes("smoke")) != dict(protocol.sizes("quick")):  # known once fingerprinted
        assert smoke != quick, f"{who}: fingerprint"
    names = [spec.name for spec in protocol.evaluators]
    assert protocol.evaluator in names, f"{who}: {protocol.evaluator} is none of {names}"
    for spec in protocol.evaluators:
        _check_evaluator(who, spec, splits)


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


def _check_sizes(protocol: EvaluationProtocol, splits: Splits, signals: Sequence[Signal]) -> None:
    who, sizes = protocol.name, protocol.sizes("smoke")
    for name in ("discovery", "regression", "test"):
        found = len(getattr(splits, name))
        assert found == sizes[name], f"{who}: {name} has {found} images, announced {sizes[name]}"
    sides = {s.images.shape[1] for s in (splits.discovery, splits.regression.images)}
    sides |= {splits.test.images.images.shape[1]}
    assert sides == {sizes["pixels"]}, f"{who}: images of {sides} px, announced {sizes['pixels']}"
    for labelled in (splits.regression, splits.test):
        n = labelled.landmarks.shape[1]
        assert n == len(protocol.landmarks), (
            f"{who}: {n} landmarks, {len(protocol.landmarks)} names"
        )
        seen = labelled.landmarks[labelled.visible]
        # a crop may cut a labelled landmark off; pixels or swapped sizes lie further out
        assert (np.abs(seen - 0.5) <= 1).all(), f"{who}: visible landmarks far outside of the image"
        hidden = labelled.landmarks[~labelled.visible]
        assert (hidden == 0).all(), f"{who}: landmarks that are not visible must be 0"
        lacking = [name for name in signals if name not in labelled.images.signals]
        assert not lacking, f"{who}: announces the signals {lacking}, which are not there"


def _check_leaks(who: str, splits: Splits, *, identities: bool) -> None:
    train = {image.tobytes() for image in splits.discovery.images}
    train |= {image.tobytes() for image in splits.regression.images.images}
    leaked = sum(image.tobytes() in train for image in splits.test.images.images)
    assert leaked == 0, f"{who}: {leaked} test images are training images"
    if not identities:
        return
    if splits.test.groups is not None and splits.regression.groups is not None:
        shared = np.intersect1d(splits.test.groups, splits.regression.groups)
        assert shared.size == 0, f"{who}: test shares {shared.size} identities with training"


def _check_evaluator(who: str, spec: EvaluatorSpec, splits: Splits) -> None:
    name, train, test = spec.name, splits.regression, splits.test

    def value(train_points: Array, test_points: Array) -> float:
        found = evaluate(
            spec,
            detections(Keypoints(train_points), train),
            detections(Keypoints(test_points), test),
        )
        return found.value

    swap = permutation(spec.pairs, train.landmarks.shape[1])
    if not spec.known_fault:
        assert (swap[swap] == np.arange(len(swap))).all(), (
            f"{who}: {name} swaps not twice to itself"
        )
    sign = -1 if spec.higher_is_better else 1
    perfect = 100.0 if spec.higher_is_better else 0.0
    # BKinD exchanges left and right of some people for the fit alone; a class of thirty birds has
    # fewer rows than the oracle has coordinates
    enough = train.visible.sum(0).min() > 2 * train.landmarks.shape[1] + 1
    if spec.train_flip != "back_facing" and enough:
        oracle = value(train.landmarks, test.landmarks)
        assert abs(oracle - perfect) < 1e-6, f"{who}: the oracle gets {oracle} under {name}"
    if spec.frame != "image":
        return  # a constant still tells the object's box or the distance of the eyes
    ring = np.array([[0.3, 0.4], [0.6, 0.7], [0.5, 0.2]])
    floor = value(*(np.tile(ring, (len(s), 1, 1)) for s in (train, test)))
    corner = value(*(np.full((len(s), 3, 2), 0.9) for s in (train, test)))
    assert sign * corner >= sign * floor - 1e-6, (
        f"{who}: a constant gets {corner}, better than the mean shape's {floor}, under {name}"
    )


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
