"""What is set for methods and protocols, checked before anything is loaded, rendered or trained."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import is_dataclass

from kpbench.contracts.parameters import check_parameters
from kpbench.data.variants import configured
from kpbench.errors import KpbenchError, TrainingError
from kpbench.files.atomic import storing
from kpbench.registry import configured_method, load_method, load_protocol
from kpbench.running.resolve import Settings


def check_set(settings: Settings) -> None:
    """Check names and values that are set; a plugin that cannot be imported fails in its cell.

    Raises:
        UnknownNameError: a method has no such parameter, or a protocol no such argument.
        TrainingError: a value that a parameter cannot have; says which it may.
        InvalidInputError: likewise of an argument.
    """
    for name, values in settings.overrides.items():
        method = None
        with suppress(KpbenchError):
            method = load_method(name)
        if method is not None and is_dataclass(method):
            check_parameters(type(method), values, name, TrainingError)
    for name, values in settings.arguments.items():
        try:
            load_protocol(name)
        except KpbenchError:
            continue
        configured(name, values)


def check_trainable(name: str, settings: Settings, *, role: str, n_keypoints: int) -> None:
    """Check that a method, and that on which it depends, can be trained with what is set.

    Raises:
        UnknownNameError: no such method, recipe or parameter, or no such value of one.
        StorageError: where it is to be kept has a name that is too long.
        TrainingError: K, or a parameter with which nothing can be trained; says what it must be.
        KpbenchError: as `configured_method`.
    """
    from kpbench.training.network_method import NetworkMethod
    from kpbench.training.torch_method import TorchMethod

    with storing(settings.results):
        settings.results.exists()  # or its name is too long
    method = configured_method(
        name, role=role, recipe=settings.recipe, overrides=settings.overrides.get(name, {})
    )
    if method.depends_on is not None:
        check_trainable(method.depends_on, settings, role=role, n_keypoints=n_keypoints)
    if isinstance(method, NetworkMethod):
        method.check(n_keypoints)
    if isinstance(method, TorchMethod):
        method.optimiser()
