"""Measure kpbench beside the public AutoLink code, in one process and on one device.

Run from the root of this repository, with a checkout of theirs:

    git clone https://github.com/xingzhehe/AutoLink-Self-supervised-Learning-of-Human-Skeletons-and-Object-Outlines-by-Linking-Keypoints
    python benchmarks/against_autolink.py AutoLink-* --device cuda --json measured.json

First the same weights on both sides must give the same results; then edge map, detector, training
step and test loop are timed on both, in turn. The file of figures is written anew after each of
them. Meant to take six minutes on a GPU; takes nine on two CPU cores, where the batch is smaller.
Ends with 2 when the checkout or the GPU is missing,
with 1 when results disagree.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if __name__ == "__main__":  # run by its path, not as a module
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kpbench.errors import KpbenchError

if TYPE_CHECKING:
    from benchmarks.autolink.bench import Amount
    from benchmarks.autolink.report import Report

N_KEYPOINTS = 16
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def amount_of(device: str, batch: int | None) -> Amount:
    """Return how much is measured: the paper's batch on a GPU, 4 images a step on a CPU.

    Raises:
        InvalidInputError: no CUDA device works here.
        UnknownNameError: no such device.
    """
    from benchmarks.autolink.bench import Amount
    from benchmarks.autolink.training import Plan
    from kpbench.cli.arguments import parse_device
    from kpbench.speed.training import Case

    found = parse_device(device)
    gpu = found == "cuda"
    case = Case(
        "autolink",
        "paper",
        device=found,
        precision="bf16-mixed" if gpu else "32-true",
        n_keypoints=N_KEYPOINTS,
        pixels=128,
        overrides={"batch_size": batch or (64 if gpu else 4)},
    )
    plan = Plan(
        case,
        warmup=5 if gpu else 1,
        window=10 if gpu else 1,
        windows=5 if gpu else 3,
        rounds=1,
    )
    return Amount(plan, copies=64 if gpu else 1, repeats=20 if gpu else 5, loops=3 if gpu else 2)


@app.command()
def main(
    checkout: Annotated[Path, typer.Argument(help="Folder of the public AutoLink repository.")],
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    batch: Annotated[
        int | None, typer.Option(min=2, help="Images a step. [64 on a GPU, 4 on a CPU]")
    ] = None,
    as_json: Annotated[
        Path | None,
        typer.Option("--json", help="Write all figures to this file too, as they come."),
    ] = None,
) -> None:
    """Measure kpbench beside the public AutoLink code and print tables as markdown."""
    from benchmarks.autolink.agreement import DisagreementError, require
    from benchmarks.autolink.checkout import find_checkout
    from kpbench.files.atomic import write_atomically

    try:
        found = find_checkout(checkout)
        amount = amount_of(device, batch)

        from benchmarks.autolink.run import compare

        def keep(report: Report) -> None:
            if as_json is not None:
                text = json.dumps(report.as_dict(), indent=1, allow_nan=False)
                write_atomically(as_json, f"{text}\n".encode())

        report = compare(found, amount, lambda text: typer.echo(text, err=True), keep)
        typer.echo(report.markdown())
        require(report.agreement)
    except DisagreementError as error:
        typer.echo(f"against_autolink: {error}", err=True)
        raise typer.Exit(1) from error
    except KpbenchError as error:
        typer.echo(f"against_autolink: {error}", err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    app()
