"""From the plans of two sides to one plan whose cells are measured in pairs."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import at_ref
from bench.errors import UserError
from bench.spawn import ROOT
from results.gate_spec import BASELINE, CANDIDATE, SIDES, Gate, Pair
from results.signed_rank import looks
from results.works import work

if TYPE_CHECKING:
    from bench.at_ref import Tree
    from bench.plan import Cell, ModelSpec, Plan

# Seconds of timed calls per process, and pairs at most, by profile.
PROCESSES: dict[str, tuple[float, int]] = {"smoke": (0.2, 24), "quick": (0.4, 120), "full": (1.0, 240)}
# Parts of a cell that its title has where both sides agree.
PARTS = ("model", "form", "runtime", "layout", "threads")


def gate_plan(
    sides: tuple[Plan, Plan],
    gate: Gate,
    *,
    slower: tuple[float, float] = (0.0, 0.0),
    same_answers: bool = True,
) -> Plan:
    """One plan of two.

    Args:
        sides: of baseline and candidate; their cells are paired in order.
        gate: everything but its pairs.
        slower: what is planted on each side.
        same_answers: whether the candidate must answer as the baseline does, where their models differ.

    Raises:
        UserError: the sides have different numbers of cells, ask different questions, or could prove nothing.
    """
    counts = [len(plan.cells) for plan in sides]
    if counts[0] != counts[1]:
        raise UserError(
            f"the baseline spans {counts[0]} cells and the candidate {counts[1]}, so they cannot be paired; narrow "
            "them with flags such as --form, --runtime and --layout until both span the same"
        )
    _check_work(sides)
    models, names = _models(sides, same_answers=same_answers)
    cells: list[Cell] = []
    pairs = []
    for baseline, candidate in zip(sides[0].cells, sides[1].cells, strict=True):
        both = [
            replace(cell, model=names[place][cell.model], side=SIDES[place], slower=slower[place])
            for place, cell in enumerate((baseline, candidate))
        ]
        cells += both
        pairs.append(Pair(_title(baseline, candidate), both[0].id, both[1].id))
    gate = replace(gate, pairs=tuple(pairs))
    if not looks(gate.error, gate.pairs_most):
        raise UserError(
            f"{gate.pairs_most} pairs could prove nothing at a confidence of {gate.confidence:.3g} over {len(pairs)} "
            f"comparisons; allow at least {math.ceil(-math.log2(gate.error / 2))} with --pairs"
        )
    process_s = PROCESSES[sides[0].profile][0]
    return replace(
        sides[1],
        title=f"gate: {gate.says[CANDIDATE]} beside {gate.says[BASELINE]}",
        models=models,
        cells=tuple(cells),
        race=False,
        sweeps=(),
        ladder=(),
        measure={"process_s": process_s, **sides[1].measure, "rounds_most": gate.pairs_most},
        gate=asdict(gate),
    )


def _check_work(sides: tuple[Plan, Plan]) -> None:
    """Refuse two sides of which one answers for more than the other.

    Raises:
        UserError: naming both.
    """
    for baseline, candidate in zip(sides[0].cells, sides[1].cells, strict=False):
        does = [work(cell.layout, cell.options) for cell in (baseline, candidate)]
        if does[0] != does[1]:
            raise UserError(
                f"the baseline answers for {does[0]} in a call and the candidate for {does[1]} ({baseline.layout}, "
                f"{candidate.layout}); compare layouts that do the same work, such as seq, par and batch2"
            )


def at_commit(plan: Plan, ref: str, cache: Path) -> tuple[Plan, str, dict[str, str], tuple[str, ...]]:
    """The baseline's plan with its files as they are at a commit.

    Args:
        plan: as it would be now.
        ref: the commit, as git understands it.
        cache: where files of commits lie.

    Returns:
        The plan, what to call the commit, the root of the code that measures it (where the code is in the repository,
        as a checkout of rtfloor's own), and warnings.

    Raises:
        UserError: there is no repository, no commit, or no such file in it.
    """
    trees: dict[Path, Tree] = {}

    def found(folder: Path) -> Tree | None:
        top = at_ref.repository(folder)
        if top is None:
            return None
        if top not in trees:
            trees[top] = at_ref.tree(top, ref, cache)
        return trees[top]

    models = {}
    same = []
    for name, spec in plan.models.items():
        if spec.path is None:
            models[name] = spec
            continue
        tree = found(Path(spec.path).parent)
        if tree is None:
            raise UserError(f"{spec.path} is in no git repository, so there is no {ref} of it; use --baseline FILE")
        models[name] = _moved(spec, tree)
        same.append(at_ref.unchanged(tree, Path(spec.path).parent))
    # With a file the question is about the file; without one, in a checkout of rtfloor, about its code.
    here = None if same else found(Path.cwd())
    own_code = here is not None and here.top == ROOT
    if not (own_code or same):
        raise UserError(
            f"--against {ref}: nothing of this gate is in a git repository; run it where the model is committed, with "
            "--model FILE, or in a checkout of rtfloor for its own code"
        )
    commit = next(iter(trees.values())).commit
    warnings: tuple[str, ...] = ()
    if same and all(same) and not own_code:
        warnings = (f"the model's file and all beside it are the same at {ref} as now: nothing differs but chance",)
    roots = {BASELINE: str(trees[ROOT].folder)} if own_code else {}
    return replace(plan, models=models), f"{ref} ({commit[:12]})", roots, warnings


def _moved(spec: ModelSpec, tree: Tree) -> ModelSpec:
    """A user's file and the inputs that lie beside it, at that commit."""
    values = {
        name: str(tree.file(Path(value)))
        if value.endswith(".npy") and Path(value).resolve().is_relative_to(tree.top)
        else value
        for name, value in spec.values.items()
    }
    return replace(spec, path=str(tree.file(Path(str(spec.path)))), values=values)


def _models(sides: tuple[Plan, Plan], *, same_answers: bool) -> tuple[dict[str, ModelSpec], tuple[dict[str, str], ...]]:
    """The models of both, and on each side what its own are called in the one plan."""
    models: dict[str, ModelSpec] = dict(sides[1].models)
    names: tuple[dict[str, str], dict[str, str]] = ({}, {name: name for name in models})
    for baseline, candidate in zip(sides[0].cells, sides[1].cells, strict=True):
        if baseline.model in names[0]:
            continue
        before, after = sides[0].models[baseline.model], sides[1].models[candidate.model]
        if before == after:
            names[0][baseline.model] = candidate.model
            continue
        if before.path is None and after.path is None:
            raise UserError(
                f"{before.name} and {after.name} are two models of the zoo, and answer different questions; compare "
                "two forms of one, or files of yours"
            )
        name = baseline.model if baseline.model not in models else f"{baseline.model}@{BASELINE}"
        names[0][baseline.model] = name
        # Seeded inputs come from the name, and both sides get the same.
        shared = before.name if before.path is None else after.name
        models[name] = replace(before, name=shared)
        models[candidate.model] = replace(after, name=shared, like=name if same_answers else "")
    return models, names


def _title(baseline: Cell, candidate: Cell) -> str:
    """What a pair has in common."""
    parts = [str(getattr(candidate, part)) for part in PARTS if getattr(baseline, part) == getattr(candidate, part)]
    shared = [
        f"{name}={value}"
        for name, value in candidate.options.items()
        if name in candidate.changed and baseline.options.get(name) == value
    ]
    return "/".join([*parts, *shared]) or f"{baseline.id} → {candidate.id}"
