"""Both sides of the comparison on one folder of frames, part by part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.autolink.agreement import Agreement, agreement
from benchmarks.autolink.checkout import Official
from benchmarks.autolink.inference import (
    Ours,
    in_memory,
    official_loop,
    same_weights,
    score_agreement,
)
from benchmarks.autolink.report import Row
from benchmarks.autolink.training import (
    OfficialTraining,
    Plan,
    Steps,
    compare_steps,
    float16,
    from_loader,
    ready,
)
from kpbench.api import EvaluationProtocol
from kpbench.nn import edge_ends, edge_map, for_prediction
from kpbench.running.provenance import collect
from kpbench.speed.timing import Call, ratio, rounds, timing
from kpbench.speed.training import fitted

WORKERS = {"train": 8, "test": 6}
"""Processes of the official data loaders, by default of its command lines."""
TEST_BATCH = 64
"""Images at a time in the official test loop, by default of its command line."""
PIXELS = 128
_AGREEING = 2
"""Images that results are compared on."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Amount:
    """How much is measured.

    Attributes:
        plan: of the training step.
        copies: how often the 120 frames of the test loop are there.
        repeats: rounds of edge map and detector.
        loops: rounds of the test loop.
    """

    plan: Plan
    copies: int
    repeats: int
    loops: int


@dataclass(frozen=True)
class Bench:
    """Both sides on one folder of frames, or kpbench alone where the official code is None."""

    official: Official | None
    amount: Amount
    protocol: EvaluationProtocol
    tree: Path
    say: Say

    @property
    def plan(self) -> Plan:
        """Of the training step."""
        return self.amount.plan

    def model(self) -> Any:
        """Return an official model with fresh random weights, always the same, on the device.

        None without the official code.
        """
        if self.official is None:
            return None
        case = self.plan.case
        torch.manual_seed(0)
        model = self.official.model(
            n_keypoints=case.n_keypoints,
            thickness=case.params["thickness"],
            batch_size=case.batch,
        )
        _as_if_trained(model)
        return model.to(self.plan.device)

    def data(self, use: str) -> Any:
        """Return the official data module, for "train" or "test"; None without that code."""
        if self.official is None:
            return None
        workers = min(WORKERS[use], int(collect("cpu")["cores"] or 1))
        batch = TEST_BATCH if use == "test" else self.plan.case.batch
        return self.official.data(self.tree, batch_size=batch, workers=workers)

    def ours(self, model: Any) -> Ours:
        """Return kpbench's side with the weights of an official model, or of a first step."""
        if model is None:
            return Ours(fitted(self.plan.case, None), self.protocol)
        method = same_weights(model, self.plan.case.configured(), self.plan.device)
        return Ours(method, self.protocol)

    def agreement(self) -> list[Agreement]:
        """Compare the results of all parts and of the test loop."""
        self.say("comparing results")
        device, model = self.plan.device, self.model()
        loaders = self.data("test").test_dataloader()
        score = score_agreement(model, loaders, device, self.protocol.splits("paper"))
        images = next(iter(loaders[1]))["img"][:_AGREEING].to(device)
        found = [*agreement(model, self.plan.case.params["thickness"], images), score]
        for a in found:  # said at once, so that nothing that is known is lost
            self.say(f"{a.what}: {a.difference:.1e} apart {'' if a.holds else 'DISAGREES'}".strip())
        return found

    def edge_map(self) -> Row:
        """Time the edge map alone, with its inputs on the device."""
        self.say("timing the edge map")
        batch = self.plan.case.batch
        return self._row("edge map, forward and backward", batch, self._edge_maps())

    def detector(self) -> Row:
        """Time the detector alone, with its images on the device."""
        self.say("timing the detector")
        calls = self._detectors()
        with torch.inference_mode():
            return self._row("detector, forward", self.plan.case.batch, calls)

    def _edge_maps(self) -> dict[str, Call]:
        case, device = self.plan.case, self.plan.device
        model, k = self.model(), case.n_keypoints
        keypoints = torch.rand(case.batch, k, 2, device=device, requires_grad=True)
        weights = torch.rand(len(edge_ends(k)[0]), device=device, requires_grad=True)
        upstream = torch.rand(case.batch, 1, PIXELS, PIXELS, device=device)

        def official() -> None:
            with float16(device):
                drawn = model.decoder.rasterize(2 * keypoints - 1, PIXELS)
            torch.autograd.grad(drawn, [keypoints, model.decoder.skeleton_scalar], upstream)

        def ours() -> None:
            drawn = edge_map(keypoints, weights, (PIXELS, PIXELS), case.params["thickness"])
            torch.autograd.grad(drawn, [keypoints, weights], upstream)

        return self._sides(official, ours)

    def _detectors(self) -> dict[str, Call]:
        case, device = self.plan.case, self.plan.device
        model = self.model()
        method: Any = self.ours(model).method
        detector = for_prediction(method.fitted())  # what `predict` runs
        images = torch.rand(case.batch, 3, PIXELS, PIXELS, device=device) * 2 - 1

        def official() -> None:
            with float16(device):
                model.encoder({"img": images})

        def ours() -> None:
            detector(images)

        if model is not None:
            model.eval()
        return self._sides(official, ours)

    def _sides(self, official: Call, ours: Call) -> dict[str, Call]:
        """Return what is timed in turn."""
        return {"ours": ours} if self.official is None else {"official": official, "ours": ours}

    def step(self) -> tuple[Row, Steps]:
        """Time training steps with images that are ready."""
        self.say("timing training steps, images ready")
        case = self.plan.case
        model = self.model()
        training = None if model is None else OfficialTraining(model, self.plan.device)
        found = compare_steps(self.plan, training, ready(case), case.training_set())
        return self._said(_step_row("training step", case.batch, found, 4.0)), found

    def step_from_disk(self) -> Row:
        """Time training steps with images from disk."""
        self.say("timing training steps, images from disk")
        training = OfficialTraining(self.model(), self.plan.device)
        loader = self.data("train").train_dataloader()
        discovery = self.protocol.splits("paper").discovery
        once = replace(self.plan, rounds=1)
        found = compare_steps(once, training, from_loader(loader), discovery)
        return self._said(_step_row("training step, fed from disk", self.plan.case.batch, found))

    def loop_from_disk(self) -> Row:
        """Time the test loop with frames from disk."""
        self.say("timing the test loop from disk")
        model, data = self.model(), self.data("test")
        loaders = [] if data is None else data.test_dataloader()
        calls = self._sides(
            lambda: official_loop(model, loaders, self.plan.device), self.ours(model).from_disk
        )
        return self._loop("test loop from disk", calls, 10.0)

    def loop_from_memory(self) -> Row:
        """Time the test loop with frames that were read before."""
        self.say("timing the test loop from memory")
        model, data = self.model(), self.data("test")
        ours = self.ours(model)
        splits = ours.in_memory()
        batches = [] if data is None else in_memory(data.test_dataloader())
        calls = self._sides(
            lambda: official_loop(model, batches, self.plan.device), lambda: ours.on(splits)
        )
        return self._loop("test loop from memory", calls, 3.0)

    def _loop(self, what: str, calls: dict[str, Call], target: float) -> Row:
        splits = self.protocol.splits("paper")
        images = len(splits.regression) + len(splits.test)
        # by the clock of the CPU: both sides end with a number there
        warmup = 1 if self.plan.device == "cuda" else 0
        times = rounds(calls, "cpu", warmup=warmup, repeats=self.amount.loops)
        return self._said(_row(what, images, times, target))

    def _row(self, what: str, images: int, calls: dict[str, Call]) -> Row:
        times = rounds(calls, self.plan.device, repeats=self.amount.repeats)
        return self._said(_row(what, images, times))

    def _said(self, row: Row) -> Row:
        self.say(row.summary)
        return row


@torch.no_grad()
def _as_if_trained(model: Any) -> None:
    """Give an official model what training would: no parameter is 0 or 1, and keypoints spread.

    A map from names to names that mixes up biases would not be noticed as long as all are 0. And
    where nothing is drawn, a convolution without bias is 0, at which the leaky ReLU's slope depends
    on the sign of numbers such as 1e-40. The detector's last weights are larger, as those of random
    networks put all keypoints in the middle of the image.
    """
    values = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, value in values.items():
        if name.startswith("vgg_loss."):
            continue
        if name.endswith(("bias", "running_mean")):
            value += 0.1 * torch.randn_like(value)
        elif name.endswith("running_var"):
            value *= 0.5 + torch.rand_like(value)
        elif value.ndim == 1:  # the scale of a batch normalisation
            value += 0.1 * torch.randn_like(value)
    model.encoder.detector.conv[-1].weight *= 10


def _row(what: str, images: int, times: Any, target: float | None = None) -> Row:
    ours = times["ours"]
    if "official" not in times:
        return Row(what, images, None, timing(ours), None, target)
    official = times["official"]
    return Row(what, images, timing(official), timing(ours), ratio(official, ours).median, target)


def _step_row(what: str, images: int, steps: Steps, target: float | None = None) -> Row:
    official, ours = steps.official, steps.ours
    times = None if official is None else official.median_ms / ours.median_ms
    return Row(what, images, official, ours, times, target)
