"""Every installed plugin, in-tree or not, keeps its contract; adding one adds its test."""

from __future__ import annotations

import pytest

from kpbench.data.protocol import RealProtocol
from kpbench.registry import available, load_method, load_protocol
from kpbench.testing import check_installed, check_method, check_protocol
from tests.conftest import TOY_PROTOCOL, Install, bright


@pytest.mark.parametrize("name", sorted(available("methods")))
def test_method(name: str) -> None:
    check_method(load_method(name))


@pytest.mark.parametrize("name", sorted(available("protocols")))
def test_protocol(name: str) -> None:
    protocol = load_protocol(name)
    if isinstance(protocol, RealProtocol):
        pytest.skip("its data is not here; test_real_protocols checks it on a tree of its format")
    check_protocol(protocol)


BAD = {
    "order": (
        bright("order", predict="points = points + 0.1 * points.mean()"),
        "an image alone gets other",
    ),
    "drift": (
        bright("drift", predict="points = points + 0.01 * np.random.rand(*points.shape)"),
        "depend",
    ),
    "unseeded": (
        bright("unseeded", fit="self.gain = float(np.random.rand())"),
        "same seed gives another result",
    ),
    "forgets": (bright("forgets").replace('int(state["k"])', "1"), "forgets: predict returned"),
    "scribbles": (bright("scribbles", fit="images.images[:] = 0"), "read-only"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_checks_can_fail(name: str, install: Install) -> None:
    source, words = BAD[name]
    install("methods", {name: source})
    [found] = check_installed([name])
    assert found.status == "failed"
    assert words in found.reason


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "(train.images, train, test)",
            "(train.images, train, replace(test, images=train.images[:20]))",
            "20 test images are training",
        ),
        ('"test": 20', '"test": 21', "test has 20 images, announced 21"),
        ("bias=True", "bias=True, pairs=((0, 1), (1, 2)), n_landmarks=4", "swaps not twice"),
        ('("top", "right", "bottom", "left")', '("top",)', "4 landmarks, 1 names"),
        (
            '"pixels": 32}\n\n    def fingerprint(self, recipe):\n        return f"discs-{recipe}"',
            '"pixels": 32, "of": recipe}\n\n'
            '    def fingerprint(self, recipe):\n        return "discs"',
            "fingerprint",
        ),
        ('evaluator = "toy_discs/strict"', 'evaluator = "toy_discs/x"', "is none of"),
    ],
)
def test_the_protocol_checks_can_fail(old: str, new: str, words: str, install: Install) -> None:
    assert old in TOY_PROTOCOL
    install("protocols", {"toy_discs": TOY_PROTOCOL.replace(old, new)})
    [found] = check_installed(["toy_discs"])
    assert found.status == "failed"
    assert words in found.reason


def test_a_sound_protocol_passes(toy_discs: str) -> None:
    [found] = check_installed([toy_discs])
    assert (found.status, found.reason) == ("ok", "")
