"""Task: does a model's first size really count signals?

A size that is left open may be time, and some models mix signals on purpose. The reference
answers two signals in one call; only when each half is the answer to its own signal may the
layout ``batch2`` be measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.check import Checker
from bench.layouts import make_layout
from models.card import Card
from models.oracle_file import load_oracle
from models.reference import Reference, ReferenceUnsupported
from runtimes.base import Facts, Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimes.base import Array


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Reply with ``mixed``: why two signals cannot share a call, empty when they can.

    The request has ``cards`` (one signal, two signals) and ``oracle``.
    """
    cards = (Card.from_json(request["cards"][0]), Card.from_json(request["cards"][1]))
    inputs, expected = load_oracle(Path(request["oracle"]))
    try:
        session = _ReferenceSession(cards[1])
        layout = make_layout("batch2", cards, [channel[:1] for channel in inputs], [session])
        checker = Checker(layout, expected, cards[0], "the reference evaluator")
        text = checker.verdict(checker.answers()[1], cards[0].precision, "two signals in one call")
    except ReferenceUnsupported:
        return {"mixed": ""}  # nobody independent can tell; the answers are checked all the same
    return {"mixed": f"its first size does not count signals: {text}" if text else ""}


class _ReferenceSession(Session):
    """The reference evaluator in the place of an engine."""

    def __init__(self, card: Card) -> None:
        self._evaluate = Reference(Path(card.path))

    def run(self, feeds: dict[str, Array]) -> Sequence[Array]:
        return self._evaluate(feeds)

    def facts(self) -> Facts:
        return Facts("fp32")
