"""Arguments that every protocol has, in identities, data and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kpbench.cli.main import main
from kpbench.contracts.types import no_progress
from kpbench.data.variants import Variant, configured
from kpbench.errors import InvalidInputError, UnknownNameError
from kpbench.records.record import Identity, all_records
from kpbench.running.execute import evaluate
from kpbench.running.plan import Cell
from kpbench.running.resolve import Settings, resolve
from tests.conftest import Install, bright


def test_an_argument_that_says_the_default_changes_nothing(toy_discs: str) -> None:
    protocol, said = configured(toy_discs, {"k": None, "depth_noise": 0})
    assert said == {}
    assert type(protocol).__name__ == "ToyDiscs"


def test_k_is_what_a_method_is_asked_for(toy_discs: str, install: Install, tmp_path: Path) -> None:
    install("methods", {"bright_k": bright("bright_k")})
    settings = Settings(tmp_path, recipe="smoke", arguments={toy_discs: {"k": 2}})
    [outcome] = evaluate([Cell("bright_k", toy_discs, 0)], settings)
    assert outcome.record is not None
    who = outcome.record.identity
    assert (who.n_keypoints, dict(who.arguments)) == (2, {"k": 2})
    assert outcome.record.scores["toy_discs/strict"].n_features == 2 * 2 + 1
    assert who.data == "discs-smoke"  # K changes no data


def test_few_images_are_spread_over_all_and_the_regression_keeps_its_own(toy_discs: str) -> None:
    whole = configured(toy_discs, {})[0].splits("smoke")
    protocol, said = configured(toy_discs, {"images": 4})
    few = protocol.splits("smoke")
    assert said == {"images": 4}
    assert (few.discovery.images == whole.discovery.images[[0, 10, 20, 30]]).all()
    assert len(few.regression) == len(whole.regression) == 40
    assert protocol.sizes("smoke")["discovery"] == 4
    assert protocol.fingerprint("smoke") != "discs-smoke"


@pytest.mark.parametrize(
    "name, amount", [("noise", 0.1), ("blur", 0.1), ("levels", 2), ("uniform", 1)]
)
def test_depth_is_corrupted_everywhere_and_nothing_else(
    toy_discs: str, name: str, amount: float
) -> None:
    whole = configured(toy_discs, {})[0].splits("smoke", signals=("depth",))
    varied = configured(toy_discs, {f"depth_{name}": amount})[0].splits("smoke", signals=("depth",))
    for part in ("discovery", "regression", "test"):
        a, b = (getattr(s, part) for s in (whole, varied))
        a, b = (getattr(x, "images", x) if part != "discovery" else x for x in (a, b))
        assert (a.images == b.images).all() and (a.mask == b.mask).all()
        if name == "levels":
            assert all(len(np.unique(image)) <= amount for image in b.depth)
        else:
            assert (a.depth != b.depth).any(axis=(1, 2)).all()
        if name == "uniform":
            assert all(len(np.unique(image)) == 1 for image in b.depth)


def test_unknown_arguments_and_impossible_values_are_told(toy_discs: str) -> None:
    with pytest.raises(UnknownNameError, match=r"argument of toy_discs called 'imges'.*images"):
        configured(toy_discs, {"imges": 3})
    for name, value in (("k", 0), ("k", True), ("images", 1), ("images", 2.5), ("depth_blur", -1)):
        with pytest.raises(InvalidInputError, match=name):
            configured(toy_discs, {name: value})
    with pytest.raises(InvalidInputError, match="40 discovery images, not images=41"):
        configured(toy_discs, {"images": 41})[0].splits("smoke")


def test_old_digests_stay_and_new_fields_change_them() -> None:
    values = {
        "protocol": "p", "protocol_version": 1, "data": "d", "method": "m", "method_version": 1,
        "params": {}, "n_keypoints": 4, "seed": 0, "recipe": "quick", "device": "cpu",
    }  # fmt: skip
    plain = Identity.model_validate(values)
    assert plain.digest() == "978068b338e3"  # as computed before the fields existed
    assert "arguments" not in plain.model_dump() and "trained_on" not in plain.model_dump()
    varied = Identity.model_validate({**values, "arguments": {"k": 4}})
    moved = Identity.model_validate({**values, "trained_on": plain})
    assert len({plain.digest(), varied.digest(), moved.digest()}) == 3
    assert Identity.model_validate_json(moved.model_dump_json()) == moved


def test_the_command_line_takes_arguments_of_protocols(
    toy_discs: str, install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("methods", {"bright_set": bright("bright_set")})
    words = ["evaluate", "-m", "bright_set", "-p", toy_discs, "--recipe", "smoke"]
    words += ["--results", str(tmp_path)]
    assert main([*words, "--set", f"{toy_discs}.k=3", "--set", "bright_set.gain=2.0"]) == 0
    [record] = all_records(tmp_path)
    assert dict(record.identity.arguments) == {"k": 3}
    assert record.identity.params["gain"] == 2.0
    assert main([*words, "--set", "no_such.k=3"]) == 2
    assert "no method or protocol called 'no_such'" in capsys.readouterr().err
    assert main(["show", toy_discs]) == 0
    assert "images=None" in capsys.readouterr().out


TWO = {"disc_a": 4, "disc_b": 5}


def _two_protocols(install: Install) -> None:
    from tests.conftest import TOY_PROTOCOL

    install(
        "protocols",
        {
            name: TOY_PROTOCOL.replace("toy_discs", name)
            .replace("n_keypoints = 4", f"n_keypoints = {k}")
            .replace("seed=1", f"seed={k}1")
            for name, k in TWO.items()
        },
    )


def test_transfer_scores_what_was_trained_elsewhere(install: Install, tmp_path: Path) -> None:
    _two_protocols(install)
    install("methods", {"mover": bright("mover", fit="self._k = n_keypoints")})
    settings = Settings(tmp_path, recipe="smoke")
    [outcome] = evaluate([Cell("mover", "disc_b", 0, "disc_a")], settings)
    assert outcome.status == "ok", outcome.trace
    record = outcome.record
    assert record is not None and record.identity.trained_on is not None
    assert record.identity.protocol == "disc_b"
    assert record.identity.trained_on.protocol == "disc_a"
    assert record.identity.n_keypoints == 4  # K of the protocol that it was trained on
    assert record.scores["disc_b/strict"].n_features == 2 * 4 + 1
    assert "fit" not in record.seconds
    trained = record.identity.trained_on.file(tmp_path, "json")
    assert json.loads(trained.read_text())["status"] == "ok"  # its own run has a record, too
    [again] = evaluate([Cell("mover", "disc_b", 0, "disc_a")], settings)
    assert again.status == "cached"


def test_transfer_to_itself_is_the_plain_run_and_the_grid_is_the_matrix() -> None:
    from kpbench.running.plan import grid

    names = ["people_background", "people_fashion"]
    cells = grid(["mean_shape"], names, [0], names)
    found = [(cell.train_on, cell.protocol) for cell in cells]
    assert found == [
        (None, "people_background"),
        ("people_fashion", "people_background"),
        ("people_background", "people_fashion"),
        (None, "people_fashion"),
    ]
    assert str(cells[1]) == "people_background / mean_shape trained on people_fashion / seed 0"


def test_a_training_that_failed_elsewhere_fails_the_transfer(
    install: Install, tmp_path: Path
) -> None:
    _two_protocols(install)
    install("methods", {"breaker": bright("breaker", fit="raise RuntimeError('no')")})
    cell = Cell("breaker", "disc_b", 0, "disc_a")
    [outcome] = evaluate([cell], Settings(tmp_path, recipe="smoke"))
    assert outcome.status == "failed"
    assert "RuntimeError: no" in outcome.reason


def test_the_resolved_run_knows_what_it_shows(install: Install, toy_discs: str) -> None:
    settings = Settings(Path("nowhere"), recipe="smoke")
    plain = resolve(Cell("distill_dkp", toy_discs, 0), settings, no_progress)
    assert plain.signals == ("depth", "mask")  # depth in training
    _two_protocols(install)
    moved = resolve(Cell("distill_dkp", "disc_b", 0, "disc_a"), settings, no_progress)
    assert moved.signals == ("mask",)  # RGB alone at prediction
    assert moved.needed is moved.origin
    assert moved.origin is not None and moved.origin.dependency is not None
    assert Variant() == Variant(k=None)
