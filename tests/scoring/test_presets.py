"""The list of named evaluators."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kpbench.errors import InvalidInputError, UnknownNameError
from kpbench.people.body.skeleton import JOINTS
from kpbench.scoring.named import disagreement_evaluators, evaluators_of, get_evaluator
from tests.scoring.evaluator_toys import NAMES

EVERY_RUN = {
    "human36m": [
        *("autolink", "autolink_fixed", "stablekeypoints", "stablekeypoints_fixed"),
        *("bkind", "bkind_min", "keypointgan", "zhang"),
    ],
    "deepfashion": ["autolink", "stablekeypoints", "stablekeypoints_l2"],
    "taichi": ["siarohin", "autolink", "stablekeypoints", "ganseg", "stablekeypoints_l2"],
    "celeba": ["autolink", "ganseg", "stablekeypoints", "zhang", "imm", "scops", "huang", "dve"],
    "aflw": ["dve"],
    "300w": ["dve"],
    "cub": ["autolink", "stablekeypoints", "scops", "huang", "choudhury"],
    "people_background": ["autolink", "stablekeypoints"],
    "people_plain": ["autolink", "stablekeypoints"],
    "people_rooms": ["autolink", "stablekeypoints"],
    "people_fashion": ["autolink", "stablekeypoints"],
    "people_taichi": ["siarohin", "autolink", "stablekeypoints"],
}
FRAMES = ("lips", "tongue", "mirror_mouse", "yt_faces", "fly_wings")
"""Public labelled frames, whose only evaluator is the strict one."""
FURTHER = {
    "deepfashion": ["lorenz_on_test"],
    "people_background": ["bkind", "bkind_min", "keypointgan", "zhang"],
    "people_plain": ["bkind", "bkind_min", "keypointgan", "zhang"],
    "people_rooms": ["bkind", "bkind_min", "keypointgan", "zhang"],
    "people_fashion": ["stablekeypoints_l2", "lorenz_on_test"],
    "people_taichi": ["ganseg", "stablekeypoints_l2"],
}


@pytest.mark.parametrize("dataset", EVERY_RUN)
def test_every_published_evaluator_is_there_in_order(dataset: str) -> None:
    found = [spec.name for spec in evaluators_of(dataset, given=("boxes", "aspect"))]
    assert found == [f"{dataset}/{name}" for name in [*EVERY_RUN[dataset], "strict"]]
    every = [spec.name for spec in disagreement_evaluators(dataset)]
    assert every == found + [f"{dataset}/{name}" for name in FURTHER.get(dataset, [])]
    without = [spec for spec in evaluators_of(dataset) if spec.needs]
    assert without == []


def test_there_are_no_others() -> None:
    assert {name.partition("/")[0] for name in NAMES} == {*EVERY_RUN, *FRAMES}
    assert {n for n in NAMES if get_evaluator(n).needs} == {
        *("celeba/dve", "aflw/dve", "300w/dve", "cub/huang", "cub/choudhury"),
        *(f"{name}/strict" for name in FRAMES),
    }


def test_faults_are_named_and_only_these() -> None:
    faulty = {name for name in NAMES if get_evaluator(name).known_fault}
    assert faulty == {
        *("human36m/autolink", "human36m/stablekeypoints"),
        *("deepfashion/lorenz_on_test", "people_fashion/lorenz_on_test"),
        *(f"{d}/{e}" for d in ("taichi", "people_taichi") for e in STABLE_TAICHI),
    }


STABLE_TAICHI = ("stablekeypoints", "stablekeypoints_l2")


@pytest.mark.parametrize("name", [n for n in NAMES if get_evaluator(n).pairs])
def test_without_a_known_fault_the_list_is_an_involution_on_the_scored_joints(name: str) -> None:
    spec = get_evaluator(name)
    twice = spec.order[spec.order]
    assert (twice == np.arange(len(twice))).all() == (not spec.known_fault)


def test_sixteen_joints_are_exchanged_among_themselves() -> None:
    """BKinD's list for its 16 joints, `human36m_skeleton.py:225`."""
    expected = np.arange(16)
    for a, b in ((0, 3), (1, 4), (2, 5), (10, 13), (11, 14), (12, 15)):
        expected[[a, b]] = b, a
    assert get_evaluator("human36m/bkind_min").order.tolist() == expected.tolist()
    names = [JOINTS[j] for j in get_evaluator("people_plain/bkind").joints or ()]
    swapped = [names[j] for j in get_evaluator("people_plain/bkind").order]
    other = {"l_": "r_", "r_": "l_"}
    assert swapped == [other.get(name[:2], name[:2]) + name[2:] for name in names]
    lonely = replace(get_evaluator("human36m/bkind_min"), joints=(1, 2, 7))
    with pytest.raises(InvalidInputError, match=r"joints lack \[6\]"):
        _ = lonely.order


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean taichi/siarohin"):
        get_evaluator("taichi/siarohn")
    with pytest.raises(UnknownNameError, match="did you mean human36m"):
        evaluators_of("human3.6m")


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("/strict")])
def test_strict_has_a_bias_and_never_looks_at_test_labels(name: str) -> None:
    strict = get_evaluator(name)
    assert strict.bias
    assert not strict.oracle_used
    assert strict.train_flip == "none"
    assert strict.trim is None
    first = evaluators_of(strict.dataset, strict.needs)[0]
    assert (strict.metric, strict.unit) == (first.metric, first.unit)


def test_which_look_at_test_labels() -> None:
    looking = {name for name in NAMES if get_evaluator(name).oracle_used}
    symmetric = ("autolink", "stablekeypoints", "bkind_min", "keypointgan")
    datasets = ("human36m", "people_background", "people_plain", "people_rooms")
    assert looking == {f"{d}/{p}" for d in datasets for p in symmetric} | {
        *("human36m/autolink_fixed", "human36m/stablekeypoints_fixed", "celeba/huang"),
        *("deepfashion/lorenz_on_test", "people_fashion/lorenz_on_test"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_specs_are_complete(name: str) -> None:
    spec = get_evaluator(name)
    assert len(spec.paper) > 20 and len(spec.formula) > 40
    assert spec.unit in ("%", "px", "px at 128", "px at 256")
    heights = {"mirror_mouse": 406, "fly_wings": 480}
    scales = {"%": 100, "px at 128": 128, "px at 256": 256, "px": heights.get(spec.dataset)}
    assert spec.scale == scales[spec.unit]


def test_incomplete_specs_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="threshold go together"):
        replace(get_evaluator("deepfashion/strict"), threshold=None)
    with pytest.raises(InvalidInputError, match="needs pairs and n_landmarks"):
        replace(get_evaluator("human36m/strict"), train_flip="em")
    with pytest.raises(InvalidInputError, match='need rows "all"'):
        replace(get_evaluator("human36m/autolink"), rows="visible")
    with pytest.raises(InvalidInputError, match='"eyes" needs the eyes'):
        replace(get_evaluator("cub/strict"), frame="eyes")
