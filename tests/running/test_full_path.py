"""Every method on every protocol that needs no data, trained, scored, recorded and read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kpbench.data.protocol import RealProtocol
from kpbench.records.record import stored_artifact
from kpbench.registry import available, load_method, load_protocol
from kpbench.running.execute import Settings, evaluate
from kpbench.running.measure import detections, predict
from kpbench.running.plan import grid
from kpbench.scoring.per_image import load_scores

IN_TREE = ("kpbench_methods", "kpbench_protocols")


def in_tree(kind: str) -> list[str]:
    found = available(kind)  # type: ignore[arg-type]
    return [name for name, plugin in found.items() if plugin.module.startswith(IN_TREE)]


def test_every_protocol_feeds_every_method_and_metric(tmp_path: Path) -> None:
    rendered = [n for n in in_tree("protocols") if not isinstance(load_protocol(n), RealProtocol)]
    cells = grid(in_tree("methods"), rendered, [0])
    settings = Settings(tmp_path, recipe="smoke")
    outcomes = list(evaluate(cells, settings))
    assert {o.status for o in outcomes} == {"ok"}, [o.reason for o in outcomes if o.status != "ok"]
    for outcome in outcomes:
        record = outcome.record
        assert record is not None
        protocol = load_protocol(outcome.cell.protocol)
        assert set(record.scores) == {spec.name for spec in protocol.evaluators}
        scores = load_scores(stored_artifact(tmp_path, record, "scores"))
        assert set(scores) == set(record.scores)
        assert record.foreground_hits is not None and 0 <= record.foreground_hits <= 1
        for name, score in record.scores.items():
            low, high = score.ci95
            assert low <= score.value <= high or outcome.cell.method == "oracle", name
    taught = [o.record for o in outcomes if o.cell.method == "distill_dkp"]
    for record in taught:
        assert record is not None and record.identity.dependency is not None
        assert record.identity.dependency.method == "depth_teacher"
        assert record.supervision == "depth (training)"
    assert {o.status for o in evaluate(cells, settings)} == {"cached"}


def test_the_kept_model_predicts_what_was_scored(tmp_path: Path) -> None:
    settings = Settings(tmp_path, recipe="smoke")
    [outcome] = evaluate(grid(["autolink"], ["people_fashion"], [0]), settings)
    assert outcome.record is not None
    protocol = load_protocol("people_fashion")
    test = protocol.splits("smoke").test
    method = load_method("autolink").configured(role="deepfashion", recipe="smoke", overrides={})
    method.load(outcome.record.identity.file(tmp_path, "model"))
    again = detections(predict(method, test, protocol.n_keypoints), test)
    with np.load(stored_artifact(tmp_path, outcome.record, "predictions")) as arrays:
        np.testing.assert_allclose(arrays["test_keypoints"], again.keypoints, atol=1e-5)


def test_a_missing_teacher_is_trained_and_only_then(tmp_path: Path) -> None:
    settings = Settings(tmp_path, recipe="smoke")
    cells = grid(["distill_dkp"], ["people_fashion"], [0])
    assert [cell.method for cell in cells] == ["depth_teacher", "distill_dkp"]
    student = [cell for cell in cells if cell.method == "distill_dkp"]
    [outcome] = evaluate(student, settings)
    assert outcome.status == "ok"
    assert [o.status for o in evaluate(cells, settings)] == ["cached", "cached"]


def test_a_student_is_trained_again_after_its_teacher(tmp_path: Path) -> None:
    cells = grid(["distill_dkp"], ["people_fashion"], [0])
    list(evaluate(cells, Settings(tmp_path, recipe="smoke")))
    other = tmp_path / "other"
    settings = Settings(other, recipe="smoke", overrides={"depth_teacher": {"steps": 2}})
    [teacher, _] = evaluate(cells, settings)
    assert teacher.record is not None
    state = teacher.record.identity.file(other, "model") / "state.safetensors"
    [kept] = (tmp_path / "people_fashion" / "depth_teacher").glob("*.model/state.safetensors")
    kept.write_bytes(state.read_bytes())
    [_, student] = evaluate(cells, Settings(tmp_path, recipe="smoke"))
    assert (student.status, student.reason) == ("ok", "the method that it depends on changed")
