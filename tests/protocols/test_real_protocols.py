"""Every protocol on real data, from files in the published layout to a record, as a user works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kpbench.cli.main import main
from kpbench.data.protocol import RealProtocol
from kpbench.records.record import Record, all_records
from kpbench.registry import available, load_protocol
from kpbench.scoring.per_image import load_scores
from kpbench.testing import check_protocol
from tests.data.test_depth import write_model
from tests.protocols.trees import TREES

REAL = [name for name in available("protocols") if isinstance(load_protocol(name), RealProtocol)]
METHODS = ("oracle", "joint_ceiling_unsided", "mean_shape", "autolink", "distill_dkp")


def real(name: str) -> RealProtocol:
    protocol = load_protocol(name)
    assert isinstance(protocol, RealProtocol)
    return protocol


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write one tree a data set, in the format in which it is published."""
    roots = {}
    for dataset, write in TREES.items():
        roots[dataset] = tmp_path_factory.mktemp(dataset)
        write(roots[dataset], n_train=80)  # fewer than any recipe takes
    return roots


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a depth network with random weights; meaningless maps, the real path."""
    return write_model(tmp_path_factory.mktemp("depth"), "depth_anything")


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("KPBENCH_CONFIG", str(tmp_path / "config"))
    yield


def test_every_published_protocol_is_there() -> None:
    assert set(REAL) == {
        "human36m_background", "human36m", "human36m_unaligned", "deepfashion", "taichi",
        "celeba_aligned", "celeba_wild", "cub_aligned", "cub_001", "cub_002", "cub_003", "cub_all",
        "lips", "tongue", "mirror_mouse", "fly_wings", "yt_faces",
    }  # fmt: skip
    assert {real(name).dataset.name for name in REAL} == set(TREES)


@pytest.mark.parametrize("name", REAL)
def test_from_files_to_a_record(
    name: str,
    trees: dict[str, Path],
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if name == "mirror_mouse":
        pytest.importorskip("av")
    protocol = real(name)
    results = tmp_path / "results"
    assert main(["data", "path", protocol.dataset.name, str(trees[protocol.dataset.name])]) == 0
    _verified(name, capsys)
    assert main(["data", "prepare", name, "--recipe", "smoke"]) == 0
    words = ["data", "depth", name, "--recipe", "smoke", "--weights", str(weights)]
    assert main([*words, "--model", protocol.depth]) == 0
    methods = [word for method in METHODS for word in ("-m", method)]
    assert (
        main(["evaluate", "-p", name, *methods, "--recipe", "smoke", "--results", str(results)])
        == 0
    )
    records = {record.identity.method: record for record in all_records(results)}
    assert set(records) == {*METHODS, "depth_teacher"}
    _check(protocol, records, results)
    check_protocol(protocol)
    capsys.readouterr()
    words = ["disagreement", "autolink", name, "--recipe", "smoke", "--results", str(results)]
    assert main(words) == 0
    assert protocol.evaluator in capsys.readouterr().out


def _verified(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The trees are sound but for their size, and `data verify` says exactly that."""
    capsys.readouterr()
    main(["data", "verify", name, "--json"])
    [report] = json.loads(capsys.readouterr().out)
    counts = [found for found in report["findings"] if "published" in found["text"]]
    assert counts, "the published counts cannot hold here"
    others = [found for found in report["findings"] if found not in counts]
    assert all(found["severity"] == "note" for found in others), others


def _check(protocol: RealProtocol, records: dict[str, Record], results: Path) -> None:
    evaluators = {spec.name: spec for spec in protocol.evaluators}
    for method, record in records.items():
        assert record.status == "ok", (method, record.error)
        assert set(record.scores) == set(evaluators)
        assert len(record.provenance["deviations"]) >= 1  # not the published sizes
    for evaluator, spec in evaluators.items():
        if spec.train_flip == "back_facing":
            continue
        perfect = 100.0 if spec.higher_is_better else 0.0
        assert records["oracle"].scores[evaluator].value == pytest.approx(perfect, abs=1e-3)
    # the teacher and the student were shown depth, so their data is another than AutoLink's
    assert records["distill_dkp"].identity.data != records["autolink"].identity.data
    assert records["distill_dkp"].identity.data.startswith(records["autolink"].identity.data)
    stem = records["autolink"].identity.file(results, "scores.npz")
    scores = load_scores(stem)[protocol.evaluator]
    assert np.isfinite(scores.errors[scores.valid]).all()


def test_without_the_data_a_protocol_is_skipped_and_told_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "-m", "mean_shape", "-p", "taichi", "--recipe", "smoke"]
    main([*words, "--results", str(tmp_path / "results")])
    out = capsys.readouterr().out.replace("\n", " ")
    assert "skipped" in out
    assert "kpbench data path taichi" in out
    assert main(["check", "taichi"]) == 0
    assert "skipped" in capsys.readouterr().out


def test_without_depth_the_student_is_skipped_and_autolink_runs(
    trees: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["data", "path", "deepfashion", str(trees["deepfashion"])])
    words = ["evaluate", "-p", "deepfashion", "--recipe", "smoke", "-m", "mean_shape"]
    words += ["-m", "distill_dkp", "--set", "deepfashion.depth=depth_anything_v2_small"]
    main([*words, "--results", str(tmp_path / "results")])
    found = {r.identity.method: r.status for r in all_records(tmp_path / "results")}
    assert found == {"mean_shape": "ok"}
    assert "kpbench data depth deepfashion" in capsys.readouterr().out.replace("\n", " ")


def test_a_background_is_part_of_the_identity(trees: dict[str, Path], tmp_path: Path) -> None:
    main(["data", "path", "human36m", str(trees["human36m"])])
    results = tmp_path / "results"
    words = ["evaluate", "-m", "mean_shape", "-p", "human36m", "--recipe", "smoke"]
    words += ["--results", str(results)]
    assert main(words) == 0
    assert main([*words, "--set", "human36m.background=black"]) == 0
    gray, black = sorted(all_records(results), key=lambda r: len(r.identity.arguments))
    assert dict(gray.identity.arguments) == {}
    assert dict(black.identity.arguments) == {"background": "black"}
    assert gray.identity.data != black.identity.data
    score = "human36m/strict"
    assert gray.scores[score].value == pytest.approx(black.scores[score].value)  # looks at no pixel


def test_few_images_and_transfer_between_real_and_rendered_data(
    trees: dict[str, Path], tmp_path: Path
) -> None:
    main(["data", "path", "human36m", str(trees["human36m"])])
    results = tmp_path / "results"
    words = ["evaluate", "-m", "autolink", "--recipe", "smoke", "--results", str(results)]
    words += ["--train-on", "people_background", "--test-on", "human36m_background"]
    assert main([*words, "--set", "people_background.images=30"]) == 0
    records = {record.identity.protocol: record for record in all_records(results)}
    trained, moved = records["people_background"], records["human36m_background"]
    assert dict(trained.identity.arguments) == {"images": 30}
    assert moved.identity.trained_on == trained.identity
