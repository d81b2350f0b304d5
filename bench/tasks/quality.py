"""Task: what a cell's answers are worth beside those of the form raw.

Runs in a process of its own, after the one that measured: the detection chain takes seconds, and
a user's own metric may do anything.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from models import metric, quality, verdict
from models.card import Card
from models.oracle_file import load_answers, load_oracle


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Reply with ``quality``, JSON values, and ``wrong``: what is past its limit, empty when nothing is.

    The request has ``card`` (one signal), ``parent`` (path of the answers of the form raw),
    ``answers`` (path of those to judge), ``precision`` and ``metrics``.
    """
    card = Card.from_json(request["card"])
    inputs, expected = load_oracle(Path(request["parent"]))
    got = load_answers(Path(request["answers"]))
    inputs, expected = inputs[: len(got)], expected[: len(got)]
    fed_back = set(card.states.values())
    # States go on inside; of a cell that gives nothing else, they are the answer.
    kept = [place for place, name in enumerate(card.output_names) if name not in fed_back]
    kept = kept or list(range(len(card.output_names)))
    names = [card.output_names[place] for place in kept]
    expected, got = ([[[call[place] for place in kept] for call in channel] for channel in a] for a in (expected, got))
    figures, precision = quality.assess(expected, got, names, card.kinds), request["precision"]
    wrong = quality.judge(figures, precision)
    found: dict[str, Any] = {**asdict(figures.worst), "outputs": [asdict(one) for one in figures.outputs]}
    agreement = None if wrong else verdict.verdict_agreement(expected, got, inputs, names, card.kinds)
    if agreement is not None:
        found["verdict"] = asdict(agreement)
        wrong = verdict.judge(agreement, precision)
    specs = [metric.parse_metric(text) for text in request["metrics"]]
    short = [spec.name for spec in specs]
    for spec in specs:
        value = metric.measure(spec, expected, got, names)
        # Two files of one name are told apart by their folders, two limits of one function by the limit.
        name = spec.name if short.count(spec.name) == 1 else spec.text
        found.setdefault("metrics", {})[name] = value
        wrong = wrong or metric.judge(value, spec)
    return {"quality": found, "wrong": wrong or ""}
