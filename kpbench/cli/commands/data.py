"""`kpbench data`: find, check, pack and render data sets. Works offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kpbench.cli.arguments import parse_device, parse_recipe
from kpbench.cli.commands import projects
from kpbench.errors import InvalidInputError

if TYPE_CHECKING:
    from kpbench.data.dataset import Dataset, State
    from kpbench.data.packing.packed import PackedSet
    from kpbench.data.protocol import RealProtocol
    from kpbench.people.protocol import PeopleProtocol

app = typer.Typer(help="Find, check and pack the data sets that you have.", no_args_is_help=True)
app.command("add")(projects.add)
app.command("remove")(projects.remove)
app.command("fetch")(projects.fetch)

Name = Annotated[str, typer.Argument(help="A data set, or one of its protocols.")]
RecipeOption = Annotated[
    str, typer.Option(help="How many images: smoke, quick, standard or paper (all).")
]
Arguments = Annotated[
    list[str] | None,
    typer.Option("--argument", help="An argument of the protocol, e.g. background=black; repeat."),
]


@app.command("list")
def list_() -> None:
    """List the data sets, what is there of each, and the protocols that use it."""
    from kpbench.data.dataset import state_of
    from kpbench.data.installed import datasets_on_disk, real_protocols

    known = real_protocols()
    for dataset in datasets_on_disk().values():
        state = state_of(dataset)
        typer.echo(f"{state.status:8} {dataset.name:14} {_where(dataset, state)}")
        using = [p.name for p in known.values() if p.dataset.name == dataset.name]
        typer.echo(f"{'':8} {'':14} protocols: {', '.join(using) or 'none'}")


@app.command()
def info(name: Name) -> None:
    """Tell what a data set is, its licence, where to ask for it, its layout and its sizes."""
    from kpbench.data.dataset import state_of
    from kpbench.data.installed import dataset_of, datasets_on_disk, real_protocols
    from kpbench.data.locate import variable_of

    about = dataset_of(name)
    typer.echo(f"{about.name}: {about.title}\n{about.about}")
    typer.echo(f"licence: {about.licence}\nfrom:    {about.source}\n")
    if about.clone is not None:
        typer.echo(projects.told(about.name, about.clone))
    if about.name not in datasets_on_disk():
        typer.echo("kpbench reads no files of it")
        return
    typer.echo(f"layout:\n{about.layout}\n")
    for protocol in real_protocols().values():
        if protocol.dataset.name == about.name:
            typer.echo(f"protocol {protocol.name}: {protocol.description}")
            sizes = ", ".join(f"{split} {n:,}" for split, n in protocol.published.items())
            typer.echo(f"  K = {protocol.n_keypoints}, published sizes: {sizes}")
    state = state_of(about)
    typer.echo(f"{state.status}: {_where(about, state)}")
    typer.echo(
        f"name the folder with: kpbench data path {about.name} DIR, or with "
        f"{variable_of(about.name)}"
    )


@app.command()
def path(
    name: Name,
    folder: Annotated[Path | None, typer.Argument(help="Where it lies; saved if given.")] = None,
) -> None:
    """Tell where a data set lies, or save it in your config."""
    from kpbench.data.dataset import state_of
    from kpbench.data.installed import dataset_of, datasets_on_disk
    from kpbench.data.locate import config_file, save_root

    dataset = dataset_of(name)
    if dataset.name not in datasets_on_disk():
        raise InvalidInputError(f"kpbench reads no files of {dataset.name}; it needs no folder")
    if folder is not None:
        save_root(dataset.name, folder)
        typer.echo(f"saved in {config_file()}")
    state = state_of(dataset)
    typer.echo(f"{state.status}: {_where(dataset, state)}")
    if state.root is None:
        raise typer.Exit(1)


@app.command()
def verify(
    name: Name,
    quick: Annotated[bool, typer.Option("--quick", help="Do not open the images.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check counts, files, images, labels, duplicates and identities; exit code 1 for an error."""
    from kpbench.cli.console import progress_bar
    from kpbench.cli.tables import plain_console
    from kpbench.data.checking.verify import verify as check
    from kpbench.data.installed import protocols_of

    with progress_bar(plain_console(stderr=True)) as progress:
        reports = [check(p, decode=not quick, progress=progress) for p in protocols_of(name)]
    if as_json:
        typer.echo(json.dumps([report.as_dict() for report in reports], allow_nan=False))
    else:
        for report in reports:
            typer.echo(str(report))
    raise typer.Exit(int(any(report.errors for report in reports)))


@app.command()
def prepare(
    name: Name,
    recipe: RecipeOption = "paper",
    argument: Arguments = None,
    device: Annotated[
        str, typer.Option(help="Where people are rendered: that of the runs; cpu, cuda, or auto.")
    ] = "cpu",
) -> None:
    """Pack or render the images once, before they are needed; goes on where it was."""
    from kpbench.cli.console import progress_bar

    rendered = _rendered(name)
    if rendered is not None:
        _render(rendered.configured(_values(argument)), recipe, device)
        return
    for protocol in _configured(name, argument):
        with progress_bar() as progress:
            protocol.prepare(parse_recipe(recipe), progress)
        for part, splits in _parts(protocol, recipe).values():
            count = part.count_if_packed() or 0
            typer.echo(f"{protocol.name} {', '.join(splits)}: {count:,} images in {part.folder}")
        for deviation in protocol.deviations(parse_recipe(recipe)):
            typer.echo(f"{protocol.name}: {deviation}")


def _rendered(name: str) -> PeopleProtocol | None:
    """Return the protocol of that name if its images are rendered, None if they are in files.

    Raises:
        BrokenPluginError: the protocol cannot be imported.
        InvalidInputError: its data is neither rendered nor in files: there is nothing to prepare.
    """
    from kpbench.data.protocol import RealProtocol
    from kpbench.people.protocol import PeopleProtocol
    from kpbench.registry import available, load_protocol

    if name not in available("protocols"):
        return None
    protocol = load_protocol(name)
    if isinstance(protocol, PeopleProtocol):
        return protocol
    if isinstance(protocol, RealProtocol):
        return None
    raise InvalidInputError(f"{name} makes its data whenever it is loaded; nothing to prepare")


def _render(protocol: PeopleProtocol, recipe: str, device: str) -> None:
    from kpbench.cli.console import progress_bar
    from kpbench.people.dataset import prepare as make

    sets = protocol.rendered(parse_recipe(recipe), parse_device(device))
    for split, wanted in sets.items():
        with progress_bar() as progress:
            made = make(wanted, progress)
        speed = "there already"
        if made.images:
            speed = f"{made.images:,} rendered, {made.images / made.seconds:.1f} images/s"
        typer.echo(f"{protocol.name} {split}: {wanted.count:,} images in {wanted.folder} ({speed})")


@app.command()
def extract(
    archive: Annotated[Path, typer.Argument(help="A zip or tar file.")],
    folder: Annotated[Path, typer.Argument(help="Where its files go.")],
) -> None:
    """Unpack an archive; nothing lands outside of the folder."""
    from kpbench.cli.console import progress_bar
    from kpbench.files.archives import extract as unpack

    with progress_bar() as progress:
        count = unpack(archive, folder, progress)
    typer.echo(f"{count:,} files in {folder}")


@app.command()
def depth(
    name: Name,
    model: Annotated[str, typer.Option(help="Which model; else that of the protocol.")] = "",
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    precision: Annotated[str, typer.Option(help="A Lightning precision, e.g. bf16-mixed.")] = (
        "32-true"
    ),
    batch: Annotated[int, typer.Option(min=1, help="Images at once.")] = 16,
    weights: Annotated[Path | None, typer.Option(help="Folder of the weights.")] = None,
    recipe: RecipeOption = "paper",
    argument: Arguments = None,
) -> None:
    """Compute depth maps of a protocol's images; goes on where it was."""
    from kpbench.cli.console import progress_bar
    from kpbench.data.depth import compute_depth

    where = parse_device(device)
    for protocol in _configured(name, argument):
        chosen = model or protocol.depth
        with progress_bar() as progress:
            for part, _ in _parts(protocol, recipe).values():
                part.make(progress)
                compute_depth(
                    chosen,
                    part,
                    device=where,
                    precision=precision,
                    batch_size=batch,
                    progress=progress,
                    weights=weights,
                )
        typer.echo(f"{protocol.name}: depth by {chosen} is there")
        if chosen != protocol.depth:
            typer.echo(f"to use it, choose the protocol's argument depth={chosen}")


def _where(dataset: Dataset, state: State) -> str:
    if state.root is None:
        return f"not named; how to get it: kpbench data info {dataset.name}"
    text = f"{state.root} (from {state.named_by})"
    if state.status == "missing":
        return f"{text} does not exist"
    return f"{text}, missing: {', '.join(state.missing)}" if state.missing else text


def _configured(name: str, arguments: list[str] | None) -> list[RealProtocol]:
    from kpbench.data.installed import protocols_of

    values = _values(arguments)
    return [protocol.configured(values) for protocol in protocols_of(name)]


def _values(arguments: list[str] | None) -> dict[str, Any]:
    values = {}
    for item in arguments or []:
        key, equals, text = item.partition("=")
        if not (key and equals):
            raise InvalidInputError(f"--argument {item}: write NAME=VALUE, e.g. background=black")
        try:
            values[key] = json.loads(text)
        except ValueError:
            values[key] = text
    return values


def _parts(protocol: RealProtocol, recipe: str) -> dict[Path, tuple[PackedSet, list[str]]]:
    """Return folder -> packed set, and the splits that it is."""
    from kpbench.data.protocol import SPLITS

    parts: dict[Path, tuple[PackedSet, list[str]]] = {}
    for split in SPLITS:
        part = protocol.packed(parse_recipe(recipe), split)
        parts.setdefault(part.folder, (part, []))[1].append(split)
    return parts
