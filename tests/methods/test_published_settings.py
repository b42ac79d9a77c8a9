"""What `paper` is for each protocol, against what the papers print and their code does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from kpbench import Optimiser
from kpbench.registry import available, configured_method, find, load_protocol

AUTOLINK_README = "AutoLink's checkpoint names and README"
DKP = "Distill-DKP, section 4.2"
DEFAULT = "AutoLink's command line; it has no loader of this data"

PUBLISHED: dict[str, tuple[int, float, bool, float, str]] = {
    "human36m": (16, 5e-5, False, 0.1, f"{DKP}; datasets/h36m_wobg.py mirrors nothing"),
    "human36m_background": (16, 5e-5, True, 0.1, f"{DKP}; datasets/h36m.py"),
    "human36m_unaligned": (16, 5e-5, True, 0.1, f"{DKP}; datasets/h36m.py: with background"),
    "deepfashion": (16, 5e-5, False, 0.1, f"{DKP}; datasets/deepfashion.py"),
    "taichi": (10, 5e-4, True, 0.4, f"{AUTOLINK_README} (K = 10), {DKP}; datasets/taichi.py"),
    "celeba_wild": (8, 2.5e-3, True, 0.1, f"{AUTOLINK_README} (K = 8); datasets/celeba_wild.py"),
    "celeba_aligned": (10, 1e-3, False, 0.1, DEFAULT),
    "cub_all": (4, 5e-2, False, 0.1, f"{AUTOLINK_README} (K = 4); datasets/cub.py"),
    "cub_001": (4, 5e-2, False, 0.1, f"{AUTOLINK_README} (K = 4); datasets/cub_three.py"),
    "cub_002": (4, 5e-2, False, 0.1, f"{AUTOLINK_README} (K = 4); datasets/cub_three.py"),
    "cub_003": (4, 5e-2, False, 0.1, f"{AUTOLINK_README} (K = 4); datasets/cub_three.py"),
    "cub_aligned": (10, 1e-3, False, 0.1, DEFAULT),
    "people_plain": (16, 5e-5, False, 0.1, "as human36m"),
    "people_background": (16, 5e-5, True, 0.1, "as human36m_background"),
    "people_fashion": (16, 5e-5, False, 0.1, "as deepfashion"),
    "people_rooms": (16, 5e-5, True, 0.1, "as human36m_background"),
    "people_taichi": (10, 5e-4, True, 0.4, "as taichi"),
    "lips": (8, 1e-3, False, 0.1, DEFAULT),
    "tongue": (10, 1e-3, False, 0.1, DEFAULT),
    "mirror_mouse": (12, 1e-3, False, 0.1, DEFAULT),
    "yt_faces": (10, 1e-3, False, 0.1, DEFAULT),
    "fly_wings": (8, 1e-3, False, 0.1, DEFAULT),
}
"""K, thickness, mirroring, Distill-DKP's gamma (0.1 where it names none), and where they are from.
"""


def params(method: str, protocol: str, recipe: str = "paper") -> dict[str, Any]:
    role = load_protocol(protocol).role
    return dict(configured_method(method, role=role, recipe=recipe, overrides={}).params())


def test_every_protocol_of_this_repository_has_its_row() -> None:
    own = {name for name in available("protocols") if find("protocols", name).in_tree}
    assert own <= PUBLISHED.keys()


@pytest.mark.parametrize("protocol", PUBLISHED)
def test_paper_is_what_was_published(protocol: str) -> None:
    k, thickness, flip, gamma, source = PUBLISHED[protocol]
    assert load_protocol(protocol).n_keypoints == k
    common = {
        "image_size": 128,
        "detector_width": 64,
        "decoder_width": 64,
        "batch_size": 64,
        "steps": 20_001,
        "learning_rate": 1e-4,
        "thickness": thickness,
        "flip": flip,
        "mask_ratio": 0.8,
        "mask_cells": 16,
        "edge_scale": 512.0,
        "backbone": "vgg16",
    }
    distilled = {"weight_decay": 0.0, "lambda_": 1.0, "gamma": gamma, "layer": "output"}
    for method, own in (
        ("autolink", {"weight_decay": 1e-3}),  # AutoLink's code: AdamW
        ("depth_teacher", {"weight_decay": 0.0}),  # Distill-DKP's section 4.2: Adam
        ("distill_dkp", distilled),
    ):
        found = params(method, protocol)
        wanted = {**common, **own}
        assert {name: found[name] for name in wanted} == wanted, source


@pytest.mark.parametrize("recipe", ["quick", "standard", "smoke"])
def test_other_recipes_compare_the_teacher_and_not_the_optimiser(recipe: str) -> None:
    plain, teacher, student = (
        params(name, "people_background", recipe)
        for name in ("autolink", "depth_teacher", "distill_dkp")
    )
    assert teacher == plain
    assert {name: student[name] for name in plain} == plain


def test_adamw_without_decay_is_adam() -> None:
    """What `paper` of Distill-DKP rests on."""

    def trained(optimiser: Optimiser) -> list[torch.Tensor]:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        inputs = torch.randn(16, 4)
        made = optimiser.build(network, fused=False)
        for _ in range(20):
            made.zero_grad()
            network(inputs).square().mean().backward()
            made.step()
        return [parameter.detach() for parameter in network.parameters()]

    adam, adamw, decaying = (
        trained(Optimiser(kind, 1e-2, decay))  # type: ignore[arg-type]
        for kind, decay in (("adam", 0.0), ("adamw", 0.0), ("adamw", 1e-3))
    )
    assert all(torch.equal(a, b) for a, b in zip(adam, adamw, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(adam, decaying, strict=True))
