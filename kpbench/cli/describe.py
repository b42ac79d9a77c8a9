"""What `kpbench list` and `kpbench show` say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields

from kpbench.api import ConfigurableProtocol, EvaluationProtocol, Method
from kpbench.errors import KpbenchError, UnknownNameError
from kpbench.registry import KINDS as PLUGIN_KINDS
from kpbench.registry import (
    Kind,
    available,
    datasets,
    faults,
    load_method,
    load_protocol,
    recipes,
    roles,
)
from kpbench.scoring.named import evaluators_in, get_evaluator
from kpbench.scoring.spec import EvaluatorSpec

KINDS = (*PLUGIN_KINDS, "recipes", "evaluators")


def listing(kinds: Sequence[str]) -> Iterator[str]:
    """Yield one line a plugin, fault, recipe or evaluator.

    Methods and protocols are not imported, but for those that declare a recipe. Data sets are, to
    be asked for their evaluators: those of other packages only where evaluators alone are listed,
    as nobody knows what they import.
    """
    for kind in kinds:
        yield f"{kind}:"
        rows = [row for known in PLUGIN_KINDS if known == kind for row in _plugins(known)]
        if kind == "recipes":
            rows = [(name, recipe.about) for name, recipe in recipes().items()]
        if kind == "evaluators":
            rows = _evaluators(ask_all=len(kinds) == 1)
        width = max((len(name) for name, _ in rows), default=0)
        yield from (f"  {name:{width}}  {text}".rstrip() for name, text in rows)


def _plugins(kind: Kind) -> list[tuple[str, str]]:
    rows = [(plugin.name, plugin.summary) for plugin in available(kind).values()]
    wrong = [(fault.name, " ".join(str(fault.error).split())) for fault in faults(kind)]
    return rows + [(name, f"(takes no part: {reason})") for name, reason in wrong]


def _evaluators(*, ask_all: bool) -> list[tuple[str, str]]:
    asked = [name for name, plugin in datasets().items() if ask_all or plugin.in_tree]
    rows = [(name, spec.formula) for name, spec in evaluators_in(asked).items()]
    others = [plugin for name, plugin in datasets().items() if name not in asked]
    return rows + [(f"{p.name}/…", f"(see kpbench list evaluators) {p.summary}") for p in others]


def explain(name: str) -> str:
    """Return all about one method, protocol or evaluator, as text.

    Raises:
        UnknownNameError: there is none of that name.
        DuplicatePluginError: two foreign modules ship a plugin of that name.
    """
    if name in available("protocols"):
        return _protocol(load_protocol(name))
    if name in available("methods"):
        return _method(load_method(name), available("methods")[name].summary)
    if "/" in name:
        return _lines(_evaluator(get_evaluator(name)))
    for fault in (*faults("protocols"), *faults("methods")):
        if fault.name == name:
            raise fault.error
    known = [*available("protocols"), *available("methods"), *evaluators_in(datasets())]
    raise UnknownNameError.of("method, protocol or evaluator", name, known)


def _lines(rows: Sequence[tuple[str, object]]) -> str:
    width = max(len(key) for key, _ in rows)
    return "\n".join(f"{key:{width}}  {value}" for key, value in rows)


def _protocol(protocol: EvaluationProtocol) -> str:
    from kpbench.data.variants import Variant

    [main] = [spec for spec in protocol.evaluators if spec.name == protocol.evaluator]
    rows: list[tuple[str, object]] = [
        ("protocol", f"{protocol.name}, version {protocol.version}"),
        ("data", protocol.description),
        ("paper", protocol.paper),
        ("settings", f"those that methods publish for {protocol.role}"),
        ("K", protocol.n_keypoints),
        ("landmarks", f"{len(protocol.landmarks)}: {', '.join(protocol.landmarks)}"),
        ("signals", ", ".join(protocol.signals) or "none"),
    ]
    if shared := getattr(protocol, "shared_identities", ""):
        rows.append(("identities", shared))
    rows += _splits(protocol)
    rows += _evaluator(main)
    others = [spec.name for spec in protocol.evaluators if spec.name != main.name]
    rows.append(("also under", ", ".join(others)))
    arguments = dict(protocol.arguments) if isinstance(protocol, ConfigurableProtocol) else {}
    general = {f.name: f.default for f in fields(Variant)}
    texts = [f"{name}={value}" for name, value in {**arguments, **general}.items()]
    rows.append(("arguments (--set)", ", ".join(texts)))
    return _lines(rows)


def _splits(protocol: EvaluationProtocol) -> Iterator[tuple[str, object]]:
    for recipe in recipes():
        try:
            found = protocol.sizes(recipe)
        except UnknownNameError as error:
            yield f"split ({recipe})", str(error)
            continue
        sizes = ", ".join(f"{name} {size:,}" for name, size in found.items())
        yield f"split ({recipe})", sizes


def _evaluator(spec: EvaluatorSpec) -> list[tuple[str, object]]:
    better = "higher is better" if spec.higher_is_better else "lower is better"
    oracle = "yes, it looks at test labels" if spec.oracle_used else "no"
    shown = {"name", "paper", "formula", "metric", "unit", "known_fault"}
    rules = {f.name: getattr(spec, f.name) for f in fields(spec) if f.name not in shown}
    return [
        ("evaluator", spec.name),
        ("metric", f"{spec.metric} in {spec.unit}, {better}"),
        ("formula", spec.formula),
        ("source", spec.paper),
        ("oracle", oracle),
        ("known fault", spec.known_fault or "none"),
        ("rules", ", ".join(f"{name}={value}" for name, value in rules.items())),
    ]


def _method(method: Method, summary: str) -> str:
    rows: list[tuple[str, object]] = [
        ("method", f"{method.name}, version {method.version}"),
        ("what", summary),
        ("paper", method.paper or "none: a reference row"),
        ("task", method.task),
        ("needs (training)", ", ".join(method.needs) or "RGB alone"),
        ("inputs (prediction)", ", ".join(method.inputs) or "RGB alone"),
        ("depends on", method.depends_on or "nothing"),
        ("packages", ", ".join(method.requires) or "none besides the core"),
    ]
    for role in roles():
        rows += _settings(method, role)
    return _lines(rows)


def _settings(method: Method, role: str) -> Iterator[tuple[str, object]]:
    for name, recipe in recipes().items():
        if recipe.place is None:
            continue
        try:
            configured = method.configured(role=role, recipe=name, overrides={})
        except KpbenchError as error:
            yield f"{role}, {name}", str(error)
            continue
        yield f"{role}, {name}", json.dumps(dict(configured.params()))
