"""What `kpbench list` and `kpbench show` say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields

from kpbench.api import RECIPES, ConfigurableProtocol, EvaluationProtocol, Method
from kpbench.errors import KpbenchError, UnknownNameError
from kpbench.registry import available, load_method, load_protocol
from kpbench.scoring.presets import EVALUATORS
from kpbench.scoring.spec import EvaluatorSpec

KINDS = ("methods", "protocols", "evaluators")


def listing(kinds: Sequence[str]) -> Iterator[str]:
    """Yield one line a plugin or evaluator; imports no plugin."""
    for kind in kinds:
        yield f"{kind}:"
        if kind == "evaluators":
            rows = [(name, spec.formula) for name, spec in EVALUATORS.items()]
        else:
            found = available("methods" if kind == "methods" else "protocols")
            rows = [(plugin.name, plugin.summary) for plugin in found.values()]
        width = max(len(name) for name, _ in rows)
        yield from (f"  {name:{width}}  {text}".rstrip() for name, text in rows)


def explain(name: str) -> str:
    """Return all about one method, protocol or evaluator, as text.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name in available("protocols"):
        return _protocol(load_protocol(name))
    if name in available("methods"):
        return _method(load_method(name), available("methods")[name].summary)
    if name in EVALUATORS:
        return _lines(_evaluator(EVALUATORS[name]))
    known = [*available("protocols"), *available("methods"), *EVALUATORS]
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
    for recipe in RECIPES:
        sizes = ", ".join(f"{name} {size:,}" for name, size in protocol.sizes(recipe).items())
        rows.append((f"split ({recipe})", sizes))
    rows += _evaluator(main)
    others = [spec.name for spec in protocol.evaluators if spec.name != main.name]
    rows.append(("also under", ", ".join(others)))
    arguments = dict(protocol.arguments) if isinstance(protocol, ConfigurableProtocol) else {}
    general = {f.name: f.default for f in fields(Variant)}
    texts = [f"{name}={value}" for name, value in {**arguments, **general}.items()]
    rows.append(("arguments (--set)", ", ".join(texts)))
    return _lines(rows)


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
    for role in sorted({load_protocol(name).role for name in available("protocols")}):
        for recipe in ("quick", "paper"):
            try:
                configured = method.configured(role=role, recipe=recipe, overrides={})
            except KpbenchError as error:
                rows.append((f"{role}, {recipe}", str(error)))
                continue
            text = json.dumps(dict(configured.params()))
            rows.append((f"{role}, {recipe}", text))
    return _lines(rows)
