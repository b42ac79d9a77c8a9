"""Every error a user can see, typed, so that no caller has to match on message text."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KpbenchError(Exception):
    """Base class; the command line prints its message without a traceback."""


class UnknownNameError(KpbenchError):
    """No method, protocol, evaluator or parameter has that name; suggests the nearest."""

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
        """Return the error with a suggestion.

        Example:
            >>> UnknownNameError.of("method", "autolnk", ["autolink", "oracle"])
            UnknownNameError("no method called 'autolnk'; did you mean autolink?")
        """
        names = sorted(set(known))  # a method and a protocol may have one name
        near = difflib.get_close_matches(name, names, n=3)
        hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(names)}"
        return cls(f"no {kind} called {name!r}; {hint}")


class DuplicatePluginError(KpbenchError):
    """Two modules ship a plugin of the same name; the message names both."""


class MissingPackageError(KpbenchError):
    """An optional package is not installed; the message holds the pip command."""


class BrokenPluginError(KpbenchError):
    """A plugin module cannot be imported, or exports no usable `PLUGIN`."""


class ContractError(KpbenchError):
    """A plugin returned something its contract forbids (shape, NaN, range)."""


class InvalidInputError(KpbenchError):
    """Data handed to kpbench is unusable; the message says what, where and what to do."""


class UndefinedScoreError(KpbenchError):
    """A metric has nothing to average or divides by zero; never reported as 0 or NaN."""


class RecordError(KpbenchError):
    """A record on disk is corrupt, of an unknown schema, or does not match its artifact."""


class CheckpointError(KpbenchError):
    """A checkpoint is missing, corrupt, or belongs to another method or configuration."""


class CacheError(KpbenchError):
    """Rendered or packed data in the user's cache is truncated or altered."""


class MissingDataError(KpbenchError):
    """A data set, or a signal computed from it, is not on this machine; says how to get it."""


class DataError(KpbenchError):
    """Files of a data set are missing, unreadable or not what their format says; names them."""


class MissingWeightsError(KpbenchError):
    """Pretrained weights are not on this machine; the message holds the command to get them."""


class StorageError(KpbenchError):
    """A folder cannot be written (read-only, full, no permission)."""


class TrainingError(KpbenchError):
    """Training diverged (a loss that is not finite) or was given unusable settings."""


class ProcessDiedError(KpbenchError):
    """A process that ran a cell was killed, e.g. for want of memory; the message names the cell."""


class ExportError(KpbenchError):
    """A method has no network to export, or what was exported finds other keypoints."""
