"""A model, form and runtime, with everything that is tried on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.plan import Cell
from runtimes.options import OptionError, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.suite import Group
    from runtimes.base import Runtime


@dataclass(frozen=True)
class Span:
    """What a group of a suite tries on one model, form and runtime.

    Attributes:
        runtime: as it was named, such as ``ort-cpu`` or ``ort-cpu@1.24.4``.
        adapter: of that runtime.
        group: layouts, placements and, of a sweep, its axes.
        budgets: of threads, in numbers.
        given: option to the values that the suite and flags name.
    """

    model: str
    form: str
    runtime: str
    adapter: Runtime
    group: Group
    budgets: tuple[int, ...]
    given: Mapping[str, tuple[Any, ...]]

    def cell(self, layout: str, threads: int, placement: str, options: Mapping[str, Any], copy: int = 0) -> Cell:
        """One cell.

        Raises:
            UserError: the runtime has no such option or value.
        """
        declared = self.adapter.options
        try:
            resolved = resolve(self.runtime, declared, options)
        except OptionError as error:
            raise UserError(str(error)) from None
        changed = tuple(option.name for option in declared if resolved[option.name] != option.default)
        return Cell(self.model, self.form, self.runtime, layout, threads, resolved, changed, placement, copy)
