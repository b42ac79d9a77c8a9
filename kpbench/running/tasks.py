"""Which task a protocol or a method is of."""

from __future__ import annotations

from collections.abc import Iterator

from kpbench.contracts.method import Method
from kpbench.contracts.protocol import EvaluationProtocol
from kpbench.contracts.task import Task
from kpbench.errors import UnknownNameError
from kpbench.registry import loadable_protocols
from kpbench.running.image_2d import IMAGE_2D


def task_of(protocol: EvaluationProtocol) -> Task:
    """Return the task of a protocol: the one that it brings, else image->2D."""
    task: Task = getattr(protocol, "task", IMAGE_2D)
    return task


def task_for(method: Method) -> Task:
    """Return the task that a method is for: image->2D, or one that an installed protocol brings.

    Raises:
        UnknownNameError: none of them is called as the method's task.
    """
    known = []
    for task in _tasks():
        if task.accepts(method):
            return task
        known.append(task.name)
    raise UnknownNameError.of(f"task (of {method.name})", method.task, known)


def _tasks() -> Iterator[Task]:
    yield IMAGE_2D
    yield from {t.name: t for t in map(task_of, loadable_protocols().values())}.values()
