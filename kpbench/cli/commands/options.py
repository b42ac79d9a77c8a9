"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kpbench.contracts.parameters import LAST_SEED

Results = Annotated[Path, typer.Option(help="Folder of the records.")]
RecipeOption = Annotated[
    str,
    typer.Option(
        help="How much training: quick or standard (CPU), paper (GPU); see kpbench list recipes."
    ),
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, or auto.")]
Methods = Annotated[list[str] | None, typer.Option("--method", "-m", help="Repeat for several.")]
Protocols = Annotated[list[str] | None, typer.Option("--protocol", "-p", help="Repeat likewise.")]
Seed = Annotated[int, typer.Option(min=0, max=LAST_SEED, help="Of the training.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A parameter of a method or an argument of a protocol: NAME.PARAMETER=VALUE, e.g. "
        "autolink.steps=9, people_background.k=8",
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        help="32-true, bf16-mixed or, on a GPU, 16-mixed; auto: the first on a CPU, the second "
        "on a GPU."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
