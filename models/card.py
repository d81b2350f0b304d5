"""The card of a model: everything the harness must know about one graph, as plain values.

Imports neither numpy nor onnx: a measured process reads cards, and must not load either for it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

from models.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Port:
    """One real input or output of a graph.

    Attributes:
        name: as in the graph.
        shape: sizes, all known for an input; None for an output whose size shows only when it runs.
        dtype: NumPy name of the element type, such as ``float32``.
    """

    name: str
    shape: tuple[int, ...] | None
    dtype: str

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape of an input, which is always known."""
        if self.shape is None:
            raise ModelError(f"{self.name!r} has no known shape; give every size with --shape {self.name}=1,2,3")
        return self.shape


@dataclass(frozen=True)
class Card:
    """One model in one form at one batch size, ready to be measured.

    Attributes:
        name: zoo name, or the file's name without its ending.
        form: ``raw``, ``ln``, ``swap+ln_last``, …; see :mod:`models.surgery.catalogue`.
        batch: signals stacked into one call.
        path: the ONNX file. Its input sizes are static, unless a warning says that they were left
            open; ``inputs`` has the sizes to be measured either way.
        sha256: digest of that file and its external data.
        inputs, outputs: the real ones, in the graph's order.
        states: state input name -> name of the output that is fed back into it.
        audio_s: seconds of audio one call answers for (per signal); None when nobody said.
        audio: the same in words, with its arithmetic.
        parameters: trained values.
        nodes: nodes, those of subgraphs included.
        operators: how often each operator occurs; those outside the standard carry their domain.
        opset: version of the standard operator set.
        precision: the coarsest arithmetic that the graph itself asks for: ``fp64``, ``fp32``,
            ``fp16``, ``bf16``, ``int8`` or ``int4``; ``fp64`` where inputs or weights are double and
            nothing is coarser. No engine can be held to more than that.
        signal: kind of seeded input, see :mod:`models.inputs`.
        constants: input name -> what replaces its seeded values, see :mod:`models.inputs`.
        warnings: full sentences for the user.
        kinds: output name -> what it is, see :mod:`models.quality`; states and unknown ones are left out.
        surgery: what each pass of the form did, JSON values.
        work: what one call costs, see :mod:`models.cost`, JSON values; empty where it could not be counted.
    """

    name: str
    form: str
    batch: int
    path: str
    sha256: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    states: dict[str, str]
    audio_s: float | None
    audio: str
    parameters: int
    nodes: int
    operators: dict[str, int]
    opset: int
    signal: str
    precision: str = "fp32"
    constants: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    kinds: dict[str, str] = field(default_factory=dict)
    surgery: tuple[dict[str, Any], ...] = ()
    work: dict[str, Any] = field(default_factory=dict)

    @property
    def output_names(self) -> list[str]:
        """Names of all outputs, in the graph's order."""
        return [port.name for port in self.outputs]

    def to_json(self) -> dict[str, Any]:
        """JSON values only; :meth:`from_json` reads them back into an equal card."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read back :meth:`to_json`.

        Raises:
            ModelError: keys are missing or unknown, as in a record of another version.
        """
        values = dict(record)
        try:
            for key in ("inputs", "outputs"):
                values[key] = tuple(_port(port) for port in values[key])
            for key in ("warnings", "surgery"):
                values[key] = tuple(values[key])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise ModelError(
                f"this is no model card of this version ({error}); "
                f"a card has the keys {', '.join(f.name for f in fields(cls))}"
            ) from None


def _port(record: Mapping[str, Any]) -> Port:
    shape = record["shape"]
    return Port(record["name"], None if shape is None else tuple(shape), record["dtype"])
