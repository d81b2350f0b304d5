"""The plan: an ordered list of cells, which ``list`` prints and ``run`` carries out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from results.steps import Step
from results.sweep import Sweep

if TYPE_CHECKING:
    from collections.abc import Mapping

LAYOUTS = {
    "mono": "one call on one channel",
    "seq": "left, then right, on one session",
    "par": "left and right at once on two sessions, half of the threads each",
    "batch2": "left and right in one call",
    "streams": "left and right put on a GPU by one thread, each on a stream of its own, then waited for",
}
PLACEMENTS = {
    "free": "the system chooses among all processors that a run may use",
    "apart": "as many processors as threads, each on a core of its own",
    "together": "as many processors as threads, two hardware threads of one core before the next core",
}
# Left and right each have a session.
TWO_SESSIONS = ("par", "streams")
# Why a layout cannot be had.
NO_DEVICE = "streams is for engines that compute on a device with memory of its own, such as a GPU"
NO_ROOM = (
    "a session has room on the device for one call's inputs, so left and right cannot both lie there; measure mono: "
    "one after the other they take twice as long"
)


@dataclass(frozen=True)
class ModelSpec:
    """Which model, and what a user said about it.

    Attributes:
        name: as it appears in cells.
        path: absolute path of a user's file; None for a zoo model.
        shapes: input name → full shape, for dynamic inputs.
        states: state input name → the output that feeds it on the next call.
        values: input name → what to feed (a number, a range, a ``.npy`` path).
        audio_s: seconds of audio per call, None when nobody said.
        audio: the same in words.
        outputs: output name → what it is, such as ``mask``; see :mod:`models.quality`.
        like: the model of the plan whose answers this one's must be like; empty for its own form ``raw``.
    """

    name: str
    path: str | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    audio_s: float | None = None
    audio: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    like: str = ""


@dataclass(frozen=True)
class Cell:
    """The thing that gets a number.

    Attributes:
        threads: the thread budget of the whole cell, over all its sessions.
        options: every option of the runtime, defaults filled in.
        changed: names of the options that differ from their default.
        placement: a key of :data:`PLACEMENTS`.
        copy: 0, or which repetition of a cell this is that differs in nothing: what a sweep's default is compared
            with to see what chance does.
        side: of a gate; empty elsewhere.
        slower: a share of its own time that every call is made longer by, on purpose, to try a gate.
    """

    model: str
    form: str
    runtime: str
    layout: str
    threads: int
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    changed: tuple[str, ...] = ()
    placement: str = "free"
    copy: int = 0
    side: str = ""
    slower: float = 0.0

    @property
    def id(self) -> str:
        """A readable key, unique within a plan: ``rt48/ln/ort-cpu/par/1‖1``, then changed options."""
        parts = [self.model, self.form, self.runtime, self.layout, str(self.threads)]
        parts += [f"{name}={_text(self.options[name])}" for name in self.changed]
        parts += [f"placement={self.placement}"] if self.placement != "free" else []
        parts += [f"copy={self.copy}"] if self.copy else []
        parts += [f"slower={self.slower:g}"] if self.slower else []
        parts += [self.side] if self.side else []
        return "/".join(parts)

    @property
    def sessions(self) -> int:
        """How many sessions run at the same time."""
        return 2 if self.layout in TWO_SESSIONS else 1

    @property
    def threads_each(self) -> int:
        """Threads per session, at least one."""
        return max(self.threads // self.sessions, 1)

    @property
    def batch(self) -> int:
        """Signals per call."""
        return 2 if self.layout == "batch2" else 1


@dataclass(frozen=True)
class Plan:
    """Everything a run needs to know; frozen once and stored in the run file.

    Attributes:
        metrics: a user's own metrics, see :mod:`models.metric`.
        race: whether slow cells may stop early; not where every cell is of interest.
        sweeps: which cells tell what an option does, see :mod:`results.sweep`.
        ladder: steps from one cell to a better one, see :mod:`results.steps`.
        goal: what a search looks for, see :mod:`results.goal`; None measures every cell alike.
        gate: which cells are compared, see :mod:`results.gate_spec`; None where none are.
        measure: what the suite changes about the profile: field → value.
    """

    title: str
    suite: str
    profile: str
    models: Mapping[str, ModelSpec]
    cells: tuple[Cell, ...]
    metrics: tuple[str, ...] = ()
    race: bool = True
    sweeps: tuple[Sweep, ...] = ()
    ladder: tuple[Step, ...] = ()
    goal: Mapping[str, Any] | None = None
    measure: Mapping[str, float] = field(default_factory=dict)
    gate: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Plan:
        """The inverse of :meth:`to_json`."""
        models = {
            name: ModelSpec(**{**spec, "shapes": {k: tuple(v) for k, v in spec["shapes"].items()}})
            for name, spec in data["models"].items()
        }
        cells = tuple(Cell(**{**cell, "changed": tuple(cell["changed"])}) for cell in data["cells"])
        return Plan(
            data["title"],
            data["suite"],
            data["profile"],
            models,
            cells,
            tuple(data.get("metrics", ())),
            data.get("race", True),
            tuple(map(Sweep.from_json, data.get("sweeps", ()))),
            tuple(map(Step.from_json, data.get("ladder", ()))),
            data.get("goal"),
            data.get("measure", {}),
            data.get("gate"),
        )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
