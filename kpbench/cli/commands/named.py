"""Which protocols a name on the command line means."""

from __future__ import annotations

from kpbench.data.catalog import DATASETS
from kpbench.data.protocol import RealProtocol
from kpbench.errors import InvalidInputError, KpbenchError, UnknownNameError
from kpbench.people.protocol import PeopleProtocol
from kpbench.registry import available, load_protocol


def real_protocols() -> dict[str, RealProtocol]:
    """Return the installed protocols on data sets that the user has; broken ones are left out."""
    found = {}
    for name in available("protocols"):
        try:
            protocol = load_protocol(name)
        except KpbenchError:
            continue
        if isinstance(protocol, RealProtocol):
            found[name] = protocol
    return found


def protocols_of(name: str) -> list[RealProtocol]:
    """Return the protocol of that name, or all of the data set of that name.

    Where both have one name (human36m), the protocol is meant.

    Raises:
        UnknownNameError: there is neither; suggests the nearest.
        InvalidInputError: the protocol renders its data, or no protocol uses the data set.
        BrokenPluginError: the protocol cannot be imported.
    """
    known = real_protocols()
    if name in known:
        return [known[name]]
    using = [protocol for protocol in known.values() if protocol.source.dataset == name]
    if using:
        return using
    if name in DATASETS:
        raise InvalidInputError(f"no installed protocol uses {name}")
    if name in available("protocols"):
        load_protocol(name)
        raise InvalidInputError(
            f"{name} brings its own data, which needs no folder; try: kpbench data list"
        )
    every = {*available("protocols"), *datasets(known)}
    raise UnknownNameError.of("data set or protocol", name, every)


def rendered_protocol(name: str) -> PeopleProtocol | None:
    """Return the protocol of that name if its images are rendered, else None.

    Raises:
        BrokenPluginError: the protocol cannot be imported.
        InvalidInputError: its data is neither rendered nor in files: there is nothing to prepare.
    """
    if name not in available("protocols"):
        return None
    protocol = load_protocol(name)
    if isinstance(protocol, PeopleProtocol):
        return protocol
    if isinstance(protocol, RealProtocol):
        return None
    raise InvalidInputError(f"{name} makes its data whenever it is loaded; nothing to prepare")


def dataset_of(name: str) -> str:
    """Return the data set of that name, or of the protocol of that name; raises likewise."""
    return name if name in DATASETS else protocols_of(name)[0].source.dataset


def datasets(known: dict[str, RealProtocol]) -> list[str]:
    """Return the names of all data sets: those of the catalog, then those of plugins."""
    others = {protocol.source.dataset for protocol in known.values()} - set(DATASETS)
    return [*DATASETS, *sorted(others)]
