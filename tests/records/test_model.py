"""A trained model is loaded whole, or refused with the name of what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from kpbench.api import FitContext, Method
from kpbench.errors import CheckpointError
from kpbench.files.checkpoint import ABOUT, ARRAYS
from kpbench.records.model import load_model
from kpbench.records.shipped import all_shipped
from kpbench.registry import configured_method
from kpbench.testing import toy_labelled
from tests.conftest import Install, bright

FITTED = ("mean_shape", "mask_box", "feature_clusters", "dff", "random_detector")


def fitted(name: str, folder: Path) -> Method:
    method = configured_method(name, role="", recipe="smoke", overrides={})
    images = toy_labelled(8, seed=1).images.restricted(method.needs)
    method.fit(images, n_keypoints=3, seed=0, context=FitContext())
    method.save(folder)
    return method


def without(folder: Path, name: str) -> None:
    state = load((folder / ARRAYS).read_bytes())
    (folder / ARRAYS).write_bytes(save({key: state[key] for key in state if key != name}))


@pytest.mark.parametrize("name", FITTED)
def test_a_model_that_lacks_an_array_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    fitted(name, tmp_path)
    whole = (tmp_path / ARRAYS).read_bytes()
    for array in sorted(load(whole))[:12]:
        (tmp_path / ARRAYS).write_bytes(whole)
        without(tmp_path, array)
        with pytest.raises(CheckpointError, match=f"lacks .*{array}") as caught:
            load_model(tmp_path)
        assert str(tmp_path) in str(caught.value)


def test_a_shipped_detector_without_its_edges_is_refused(tmp_path: Path) -> None:
    [shipped] = [each for each in all_shipped() if each.method == "autolink"][:1]
    about = json.loads((shipped.folder / ABOUT).read_text())
    del about["sha256"]
    (tmp_path / ABOUT).write_text(json.dumps(about))
    for array in ("edge_weights", "head.bias", "head.weight"):
        (tmp_path / ARRAYS).write_bytes((shipped.folder / ARRAYS).read_bytes())
        load_model(tmp_path)
        without(tmp_path, array)
        with pytest.raises(CheckpointError, match=f"lacks .*{array}"):
            load_model(tmp_path)


def test_a_method_that_does_without_an_array_is_not_believed(
    install: Install, tmp_path: Path
) -> None:
    """`restore` asks for nothing; what `state` would write must be there all the same."""
    source = bright("careless").replace("return {", "return {'edges': np.ones(3), ")
    install("methods", {"careless": source})
    method = configured_method("careless", role="", recipe="smoke", overrides={})
    method.fit(toy_labelled(2).images, n_keypoints=2, seed=0, context=FitContext())
    method.save(tmp_path)
    without(tmp_path, "edges")
    with pytest.raises(CheckpointError, match="lacks the array 'edges'"):
        load_model(tmp_path)


def test_a_mark_of_the_order_of_bytes_is_no_fault(tmp_path: Path) -> None:
    method = fitted("mean_shape", tmp_path)
    text = (tmp_path / ABOUT).read_bytes()
    (tmp_path / ABOUT).write_bytes(b"\xef\xbb\xbf" + text)
    images = toy_labelled(2).images
    found = load_model(tmp_path).predict(images).points
    np.testing.assert_array_equal(found, method.predict(images).points)
