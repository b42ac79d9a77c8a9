"""The installed data sets, and which protocols a name means."""

from __future__ import annotations

from kpbench.data.dataset import Dataset
from kpbench.data.protocol import RealProtocol
from kpbench.errors import InvalidInputError, UnknownNameError
from kpbench.registry import (
    available,
    faults,
    load_protocol,
    loadable_datasets,
    loadable_protocols,
)


def datasets_on_disk() -> dict[str, Dataset]:
    """Return the data sets whose files kpbench reads, by name; broken ones are left out."""
    found = {dataset.name: dataset for dataset in loadable_datasets().values() if dataset.layout}
    for protocol in real_protocols().values():
        found.setdefault(protocol.dataset.name, protocol.dataset)
    return dict(sorted(found.items()))


def real_protocols() -> dict[str, RealProtocol]:
    """Return the installed protocols on data sets that the user has; broken ones are left out."""
    known = loadable_protocols()
    return {name: found for name, found in known.items() if isinstance(found, RealProtocol)}


def protocols_of(name: str) -> list[RealProtocol]:
    """Return the protocol of that name, or all of the data set of that name.

    Where both have one name (human36m), the protocol is meant, and no other is imported.

    Raises:
        UnknownNameError: there is neither; suggests the nearest.
        InvalidInputError: the protocol renders its data, or no protocol uses the data set.
        BrokenPluginError: the protocol cannot be imported.
        DuplicatePluginError: two foreign modules ship a protocol of that name.
    """
    is_protocol = name in available("protocols")
    if is_protocol:
        protocol = load_protocol(name)
        if isinstance(protocol, RealProtocol):
            return [protocol]
    using = [found for found in real_protocols().values() if found.dataset.name == name]
    if using:
        return using
    if is_protocol:
        raise InvalidInputError(
            f"{name} brings its own data, which needs no folder; try: kpbench data list"
        )
    if name in loadable_datasets():
        raise InvalidInputError(f"no installed protocol uses {name}")
    for fault in faults("protocols"):
        if fault.name == name:
            raise fault.error
    every = {*available("protocols"), *loadable_datasets(), *datasets_on_disk()}
    raise UnknownNameError.of("data set or protocol", name, every)


def dataset_of(name: str) -> Dataset:
    """Return the data set of that name, or of the protocol of that name; raises likewise."""
    described: Dataset | None = loadable_datasets().get(name)
    return protocols_of(name)[0].dataset if described is None else described
