"""Before anything is timed: model files, right answers, compiled engines, each in a process of its own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import paths
from bench.environments import Environments
from bench.errors import UserError
from bench.host import usable_cpus
from bench.placement import place
from bench.plan import NO_DEVICE, NO_ROOM
from bench.tasks.common import engine_request
from bench.version_needs import too_new
from models.card import Card
from models.surgery.catalogue import RAW
from results.works import on_device
from runtimes import registry
from runtimes.errors import UnavailableError
from runtimes.installed import Probe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.plan import Cell, Plan
    from bench.spawn import Outcome, Spawn
    from runtimes.base import Runtime

# Three different inputs per channel: with two, an engine that answers one call late through a
# pair of buffers would look right.
ROTATIONS = 3
PREPARE_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Ready:
    """What a cell needs before it can be measured, or why it cannot be.

    Attributes:
        status: ``""`` when it can; else ``unavailable`` or ``failed``, with a ``reason``.
        version: the runtime's.
        cards: the model for one channel, and as it is called, JSON.
        oracle: path of the right answers.
        oracle_origin: who computed them.
        environment: variables the worker needs before anything is imported.
        build: what the engine said about compiling; empty when it compiles nothing ahead.
        parent: path of the form raw's answers, which quality is judged by.
        cpus: the processors its threads are put on; empty for those of the whole run.
        size_bytes: of what is loaded: what was compiled ahead, else the model's file and its external data.
    """

    status: str = ""
    reason: str = ""
    version: str | None = None
    cards: tuple[Mapping[str, Any], ...] = ()
    oracle: str = ""
    oracle_origin: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    build: Mapping[str, Any] = field(default_factory=dict)
    build_s: float | None = None
    parent: str = ""
    cpus: tuple[int, ...] = ()
    size_bytes: int | None = None


class Preparer:
    """Makes cells ready; everything that several cells share is made once.

    Args:
        plan: whose cells.
        spawn: starts a worker.
        say: is told, in one line, what is being done.
        cpus: that workers may run on; None for all that this process may use.
    """

    def __init__(
        self, plan: Plan, spawn: Spawn, say: Callable[[str], None], cpus: tuple[int, ...] | None = None
    ) -> None:
        self._plan, self._spawn, self._say = plan, spawn, say
        self._cpus = cpus or tuple(sorted(usable_cpus()))
        self._folder = paths.cache()
        self._environments = Environments(self._folder / "environments", say)
        # A second signal costs the reference as much as the first: only where one is measured.
        self._channels = {
            model: max(2 if cell.layout != "mono" else 1 for cell in plan.cells if model in self._family(cell.model))
            for model in plan.models
        }
        self._cards: dict[tuple[str, str, int], Card | str] = {}
        self._sizes: dict[tuple[str, str, int], int] = {}
        self._oracles: dict[tuple[str, str], Mapping[str, Any] | UserError] = {}
        self._mixing: dict[tuple[str, str], str] = {}
        self._builds: dict[str, Outcome] = {}
        self.warnings: dict[str, None] = {}
        # Digest of a graph for one signal -> what its nodes cost.
        self.graphs: dict[str, Mapping[str, Any]] = {}

    def _family(self, model: str) -> set[str]:
        """The model, and the one that its answers are held to."""
        return {model, self._plan.models[model].like or model}

    def ready(self, cell: Cell) -> Ready:
        """One cell.

        Raises:
            UserError: the model cannot be used as asked, whatever the runtime.
        """
        # What its answers must be like: those of its own form raw, or of another model.
        ground = self._plan.models[cell.model].like or cell.model
        raw = self._card(ground, RAW, 1)
        if isinstance(raw, str):
            raise UserError(raw)
        own = self._card(cell.model, RAW, 1)
        single = own if cell.form == RAW else self._card(cell.model, cell.form, 1)
        if isinstance(single, str):
            return Ready("unavailable", single)
        try:
            adapter = registry.get(cell.runtime)
        except UnavailableError as error:
            return Ready("unavailable", str(error))
        probe = self._probe(cell, adapter)
        ready = Ready(version=probe.version, cards=(single.to_json(), single.to_json()))
        if not probe.available:
            mend = f"; to mend it: {probe.remedy}" if probe.remedy else ""
            return _not(ready, "unavailable", f"{probe.reason}{mend}")
        refused = adapter.refusal(cell.options, cell.threads_each)
        if refused := refused or too_new(adapter, cell.options, cell.changed, probe.version):
            return _not(ready, "unavailable", refused)
        if cell.layout == "par" and cell.threads < 2:
            return _not(ready, "unavailable", "par runs left and right on threads of their own: it needs at least 2")
        if cell.layout == "streams" and adapter.device == "cpu":
            return _not(ready, "unavailable", NO_DEVICE)
        if cell.layout == "seq" and on_device(cell.options):
            return _not(ready, "unavailable", NO_ROOM)
        cpus = place(cell.placement, cell.threads, self._cpus) if cell.placement != "free" else ()
        if isinstance(cpus, str):
            return _not(ready, "unavailable", cpus)
        called = self._card(cell.model, cell.form, cell.batch)
        if isinstance(called, str):
            return _not(ready, "unavailable", called)
        try:
            parent = self._oracle(ground, raw)
            oracle = parent if raw is single else self._oracle(cell.model, single, parent)
        except UserError as error:
            if len(self._plan.models) == 1:
                raise
            # The other models of this run can be judged all the same.
            return _not(ready, "failed", str(error))
        if dispute := parent["dispute"] or oracle["dispute"]:
            return _not(ready, "failed", dispute)
        if cell.batch > 1 and (mixed := self._mixed(cell, single, called, str(oracle["path"]))):
            return _not(ready, "unavailable", mixed)
        ready = Ready(
            version=probe.version,
            cards=(single.to_json(), called.to_json()),
            oracle=oracle["path"],
            oracle_origin=oracle["origin"],
            parent=parent["path"],
            cpus=cpus,
            size_bytes=self._sizes[cell.model, cell.form, cell.batch] or None,
        )
        return self._built(cell, adapter, called, ready)

    def request(self, cell: Cell) -> dict[str, Any]:
        """The engine's part of a worker request."""
        return {
            "runtime": cell.runtime,
            "layout": cell.layout,
            "threads": cell.threads,
            "threads_each": cell.threads_each,
            "sessions": cell.sessions,
            "options": dict(cell.options),
            "engine_cache": str(self._folder / "engines" / cell.runtime),
            "slower": cell.slower,
            **self._environments.worker(cell.runtime),
            **self._elsewhere(cell),
        }

    def _elsewhere(self, cell: Cell) -> dict[str, Any]:
        """Where the code lies that measures this cell, and what it compiles, where both are not ours."""
        root = ((self._plan.gate or {}).get("roots") or {}).get(cell.side)
        if not root:
            return {}
        if not Path(root).is_dir():
            raise UserError(
                f"the files of commit {Path(root).name[:12]} are no longer in the cache; begin the gate anew"
            )
        return {"root": root, "engine_cache": str(self._folder / "engines" / f"{cell.runtime}-{Path(root).name}")}

    def quality_request(self, ready: Ready, precision: str, answers: str) -> dict[str, Any]:
        """What a worker is asked in order to judge answers beside those of the form raw."""
        card = {**ready.cards[0]}
        request = {"task": "quality", "card": card, "parent": ready.parent, "answers": answers}
        return {**request, "precision": precision, "metrics": list(self._plan.metrics)}

    @property
    def environments(self) -> dict[str, Mapping[str, Any]]:
        """What is in the environments of named versions, see :class:`bench.environments.Environment`."""
        return self._environments.facts

    def _probe(self, cell: Cell, adapter: Runtime) -> Probe:
        """What the adapter says of our own environment, or of that of the named version."""
        if not registry.version(cell.runtime):
            return adapter.probe()
        try:
            found = self._environments.get(cell.runtime)
        except UnavailableError as error:
            return Probe(False, None, str(error))
        self.warnings |= dict.fromkeys(found.facts["warnings"])
        return found.probe

    def _card(self, model: str, form: str, batch: int) -> Card | str:
        """The card, or why there is none for this batch size."""
        key = (model, form, batch)
        if key not in self._cards:
            self._say(f"preparing {model}/{form}" + (f" for {batch} signals a call" if batch > 1 else ""))
            spec = asdict(self._plan.models[model])
            request = {"task": "prepare", "spec": spec, "form": form, "batch": batch}
            outcome = self._spawn({**request, "folder": str(self._folder / "models")}, {}, PREPARE_TIMEOUT_S)
            try:
                body = self._answer(outcome, f"model {model!r}", model_errors_are_the_users=batch == 1 and form == RAW)
            except UserError as error:
                if form == RAW:
                    raise
                # A pass that breaks down is the row of its form; the others go on.
                body = {"reason": f"{form}: {error}"}
            self._cards[key] = Card.from_json(body["card"]) if "card" in body else str(body["reason"])
            self._sizes[key] = int(body.get("file_bytes", 0))
            if body.get("graph"):
                self.graphs[body["card"]["sha256"]] = body["graph"]
            for warning in body.get("card", {}).get("warnings", ()):
                self.warnings[f"{model}: {warning}"] = None
        return self._cards[key]

    def _oracle(self, model: str, card: Card, parent: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        key = (model, card.form)
        if key not in self._oracles:
            self._say(f"working out the right answers of {card.name}/{card.form}")
            request = {
                "task": "oracle",
                "card": card.to_json(),
                "folder": str(self._folder / "oracles"),
                "rotations": ROTATIONS,
                "channels": self._channels[model],
                "parent": parent and {key: parent[key] for key in ("path", "origin")},
                "engine_cache": str(self._folder / "engines" / "oracle"),
            }
            outcome = self._spawn(request, {}, PREPARE_TIMEOUT_S)
            self._oracles[key] = self._judged(outcome, f"{card.name}/{card.form}")
        found = self._oracles[key]
        if isinstance(found, UserError):
            raise found
        return found

    def _mixed(self, cell: Cell, single: Card, called: Card, oracle: str) -> str:
        """Why a user's model cannot take two signals in one call; our own are known to."""
        if self._plan.models[cell.model].path is None:
            return ""
        key = (cell.model, cell.form)
        if key not in self._mixing:
            request = {"task": "batch", "cards": [single.to_json(), called.to_json()], "oracle": oracle}
            outcome = self._spawn(request, {}, PREPARE_TIMEOUT_S)
            # Where it could not be tried, the reason it failed for is the reason it cannot be measured.
            self._mixing[key] = outcome.reason or outcome.body.get("reason") or outcome.body.get("mixed", "")
        return self._mixing[key]

    def _judged(self, outcome: Outcome, name: str) -> Mapping[str, Any] | UserError:
        """The oracle's reply, or why there is none: worked out once, whatever the answer."""
        try:
            body = self._answer(outcome, f"the right answers of {name}")
        except UserError as error:
            return error
        for warning in body["warnings"]:
            self.warnings[f"{name}: {warning}"] = None
        return body

    def _built(self, cell: Cell, adapter: Runtime, card: Card, ready: Ready) -> Ready:
        request = self.request(cell)
        engine = engine_request(request, card)
        environment = adapter.environment(engine)
        ready = replace(ready, environment=environment)
        if not adapter.builds(engine):
            return ready
        where = request["engine_cache"]  # the code of another commit compiles for itself
        key = json.dumps([cell.runtime, where, card.sha256, cell.threads_each, dict(cell.options)], sort_keys=True)
        if key not in self._builds:
            self._say(f"compiling {card.name}/{card.form} with {cell.runtime}")
            task = {"task": "build", **request, "card": card.to_json()}
            self._builds[key] = self._spawn(task, environment, adapter.build_timeout_s(engine))
        outcome = self._builds[key]
        status = outcome.body.get("status", outcome.status)
        if status != "ok":
            reason = outcome.reason or str(outcome.body["reason"])
            return _not(ready, "unavailable" if status == "unavailable" else "failed", f"while compiling: {reason}")
        facts = outcome.body["facts"]
        ready = replace(ready, build=facts, build_s=outcome.body["build_s"])
        return replace(ready, size_bytes=facts.get("artefact_bytes") or ready.size_bytes)

    def _answer(self, outcome: Outcome, what: str, *, model_errors_are_the_users: bool = True) -> Mapping[str, Any]:
        """The worker's reply; what is wrong with a model goes straight to the person who named it."""
        if outcome.status != "ok":
            raise UserError(f"{what} could not be prepared: {outcome.reason}")
        if outcome.body["status"] == "ok":
            return outcome.body
        if outcome.body.get("kind") in ("ModelError", "ReferenceUnsupported") and not model_errors_are_the_users:
            return outcome.body
        raise UserError(str(outcome.body["reason"]))


def _not(ready: Ready, status: str, reason: str) -> Ready:
    return replace(ready, status=status, reason=reason)
