"""Compares a layout's answers with the oracle's: before timing, during it, and after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.measure import timed
from models.compare import Error, compare, verdict

if TYPE_CHECKING:
    from bench.layouts import Layout
    from models.card import Card

Answers = Sequence[NDArray[np.generic]]


class Checker:
    """Holds the right answers of one model in one form, and the worst error seen.

    Args:
        layout: whose answers are checked.
        expected: [channel][rotation] → outputs.
        card: the model of one channel.
        origin: who computed the right answers; verdicts name it.
    """

    def __init__(self, layout: Layout, expected: Sequence[Sequence[Answers]], card: Card, origin: str) -> None:
        self._layout, self._expected, self._card, self._origin = layout, expected, card, origin
        self._worst: Error | None = None

    def answers(self) -> tuple[int, list[tuple[int, Any]]]:
        """Answer every rotation from the initial state.

        All outputs are kept and compared later, so that an engine which hands out a buffer and
        overwrites it afterwards is found out.

        Returns:
            Nanoseconds of the first of these calls, and (call number, outputs) of all of them.
        """
        layout = self._layout
        layout.begin()
        collected, first_ns = [], 0
        for number in range(layout.rotations):
            took_ns, outputs = timed(layout.call, layout.feeds(number))
            first_ns = first_ns or took_ns
            if layout.collect is not None:
                outputs = layout.collect(outputs)
            collected.append((number, outputs))
            layout.absorb(outputs)
        return first_ns, collected

    def verdict(self, collected: Iterable[tuple[int, Any]], precision: str, when: str) -> str:
        """What is wrong with collected answers at a precision; empty when nothing is."""
        for number, outputs in collected:
            rotation = number % self._layout.rotations
            for channel, got in enumerate(self._layout.answers(outputs)):
                error = compare(list(self._expected[channel][rotation]), list(got), self._card.output_names)
                self._remember(error)
                subject = f"{self._card.name}/{self._card.form}, channel {channel}, input {rotation}"
                text = verdict(error, precision, self._origin, subject=subject)
                if text:
                    return f"{when}: {text}"
        return ""

    def after(self, last: Sequence[tuple[int, Any]], precision: str) -> str:
        """What is wrong with the answers of the last timed calls, and with those after them.

        The last timed calls of a stateless model cover every rotation, and are as good as asking
        again; a stateful model's depend on all calls before, so it is asked again from the start.
        """
        if self._layout.stateful:
            return self.verdict(self.answers()[1], precision, "after timing")
        return self.verdict(last, precision, "while being timed")

    def runaway(self, last: Iterable[tuple[int, Any]]) -> str:
        """Whether a stateful model's states grew without end; empty when they did not.

        The engine is right, but later calls computed on infinities, which can take another time.
        """
        for number, outputs in last:
            for answers in self._layout.answers(outputs):
                for name, values in zip(self._card.output_names, answers, strict=True):
                    if np.asarray(values).dtype.kind == "f" and not np.isfinite(values).all():
                        return f"output {name!r} is no longer finite after {number + 1} calls"
        return ""

    def worst(self) -> dict[str, Any] | None:
        """The largest error seen, as JSON values; None before any check."""
        if self._worst is None:
            return None
        return {
            "max_abs": self._worst.max_abs_error,
            "snr_db": self._worst.snr_db,
            "cosine": self._worst.cosine,
            "peak": self._worst.peak,
            "output": self._worst.output,
        }

    def _remember(self, error: Error) -> None:
        if error.mismatch is None and (self._worst is None or error.max_abs_error > self._worst.max_abs_error):
            self._worst = error
