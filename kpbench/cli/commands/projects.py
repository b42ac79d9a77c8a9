"""`kpbench data add`, `remove` and `fetch`: a labelled project, or a public one, as a protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kpbench.errors import InvalidInputError

if TYPE_CHECKING:
    from kpbench.data.dataset import Clone


def add(
    name: Annotated[str, typer.Argument(help="Name of the protocol, or a file of --write.")],
    folder: Annotated[Path | None, typer.Argument(help="Folder of the project.")] = None,
    format: Annotated[
        str, typer.Option(help="deeplabcut, lightning_pose, coco or sleap; else told by the files.")
    ] = "",
    k: Annotated[
        int, typer.Option("--k", min=0, help="Number of keypoints; 0: as many as landmarks.")
    ] = 0,
    crop: Annotated[
        str, typer.Option(help="What is shown: whole, box, labels, or X,Y,W,H in pixels.")
    ] = "whole",
    test: Annotated[
        list[str] | None, typer.Option(help="Pattern of files or videos that test; repeat.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Else a third tests, by whole: video, folder or frame.")
    ] = "video",
    normaliser: Annotated[
        str, typer.Option(help="A,B: errors in % of the distance of these two landmarks.")
    ] = "",
    unit: Annotated[
        str, typer.Option(help="Else in % of the height of what is shown (image), or in px.")
    ] = "image",
    pairs: Annotated[
        str | None,
        typer.Option(help="L_a:R_a,L_b:R_b: left and right; else told by the names; '': none."),
    ] = None,
    frames: Annotated[
        int, typer.Option(min=0, help="Frames of each video to learn from; 0: all.")
    ] = 200,
    choose: Annotated[
        str, typer.Option(help="Which frames: even in time, or by difference.")
    ] = "even",
    labels: Annotated[
        str, typer.Option(help="Where there are several: the scorer (DeepLabCut), or the file.")
    ] = "",
    individual: Annotated[str, typer.Option(help="Where several animals are labelled.")] = "",
    category: Annotated[str, typer.Option(help="Where a COCO file has several.")] = "",
    occluded: Annotated[
        str, typer.Option(help="What a COCO keypoint of visibility 1 is: seen or missing.")
    ] = "seen",
    write: Annotated[
        Path | None, typer.Option(help="Write the protocol to this file, too, to share it.")
    ] = None,
) -> None:
    """Make a labelled project a protocol (DeepLabCut, Lightning Pose, COCO, SLEAP)."""
    from kpbench.data.projects.adding import add_file, described, save, warnings
    from kpbench.data.projects.described import written
    from kpbench.data.projects.source import ProjectSource
    from kpbench.files.atomic import write_atomically

    if name.endswith(".toml"):
        description, where = add_file(Path(name), folder)
    else:
        if folder is None:
            raise InvalidInputError(f"name the folder of the project: kpbench data add {name} DIR")
        where = folder
        source = ProjectSource(
            crop, format, labels, individual, category, occluded, split, tuple(test or ()), frames,
            choose,
        )  # fmt: skip
        if unit not in ("image", "px"):
            raise InvalidInputError(f"--unit {unit}: image or px")
        description = described(
            name,
            where,
            source,
            k=k,
            normaliser=normaliser.split(",") if normaliser else (),
            unit=unit,
            pairs=None if pairs is None else _pairs(pairs),
        )
        save(description, where)
    if write is not None:
        write_atomically(write, written(description).encode())
    sizes = ", ".join(f"{split} {count:,}" for split, count in description.sizes.items())
    typer.echo(f"{description.name}, version {description.version}: {description.about}")
    typer.echo(f"landmarks: {', '.join(description.landmarks)}")
    typer.echo(f"K = {description.k}; images: {sizes}")
    for warning in warnings(description, where):
        typer.echo(f"mind: {warning}")
    typer.echo(f"all about it: kpbench show {description.name}; to run methods on it:")
    typer.echo(f"kpbench evaluate -p {description.name} --recipe quick")


def _pairs(text: str) -> list[list[str]]:
    pairs = [pair.split(":") for pair in text.split(",") if pair]
    if any(len(pair) != 2 for pair in pairs):
        raise InvalidInputError(f"--pairs {text}: write LEFT:RIGHT,LEFT:RIGHT")
    return pairs


def remove(name: Annotated[str, typer.Argument(help="A protocol that was added.")]) -> None:
    """Remove a protocol that was added; the project and the results stay."""
    from kpbench.data.projects.adding import remove as take_away

    typer.echo(f"removed {take_away(name)}; the project's folder was not touched")


def told(name: str, clone: Clone) -> str:
    """Return which repository a data set is in, at which state, and what is unclear."""
    return (
        f"clone:   {clone.repository}\n"
        f"commit:  {clone.commit}\n"
        f"folder:  {clone.folder or 'all of it'}, about {clone.megabytes:,.0f} MB\n"
        f"unclear: {clone.unclear or 'nothing that is known'}\n"
        f"get it with: kpbench data fetch {name} DIR\n"
    )


def fetch(
    name: Annotated[str, typer.Argument(help="A data set in a public repository.")],
    folder: Annotated[Path | None, typer.Argument(help="Where to; ./NAME if not given.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Clone the repository of a public data set: one commit, and the data's folder alone."""
    from kpbench.data.cloning import clone
    from kpbench.data.installed import dataset_of
    from kpbench.data.locate import config_file, save_root

    dataset = dataset_of(name)
    if dataset.clone is None:
        raise InvalidInputError(
            f"{dataset.name} lies in no public repository; how to get it says: kpbench data info "
            f"{dataset.name}"
        )
    where = folder or Path(dataset.name)
    typer.echo(f"licence: {dataset.licence}\n{told(dataset.name, dataset.clone)}")
    if not yes:
        typer.confirm(f"clone it into {where.absolute()}?", abort=True)
    root = clone(dataset.clone, where)
    save_root(dataset.name, root)
    typer.echo(f"it lies in {root}; saved in {config_file()}")
