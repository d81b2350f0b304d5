"""Flags that several verbs share, and what they mean together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from bench import host
from bench.errors import UserError
from bench.expand import Choice, check_option_flags, default_suite, expand
from bench.model_spec import MODEL_KEYS, model_spec, parse_shape
from bench.plan import LAYOUTS, PLACEMENTS, ModelSpec, Plan
from bench.profile import DEFAULT, profiles
from bench.suite import load_suite, parse_threads
from models.errors import ModelError
from models.facts import zoo
from models.metric import parse_metric
from results.sweep import KINDS

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def json_flag(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--json``: one document on stdout, nothing else there."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")(function)


def results_flag(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--results``: where run files are."""
    return click.option(
        "--results",
        type=click.Path(path_type=Path),
        default=None,
        metavar="DIR",
        help="Folder of run files.  [default: results/runs]",
    )(function)


def plan_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """Everything that decides which cells are measured; becomes a :class:`PlanFlags`."""
    several: dict[str, Any] = {"multiple": True}
    options: list[Decorator] = [
        click.argument("suite", required=False),
        click.option("--model", "models", **several, metavar="NAME|FILE", help="Zoo model or .onnx file; repeatable."),
        click.option("--form", "forms", **several, help="Form: raw, or passes such as ln or ln+fp16; repeatable."),
        click.option(
            "--runtime",
            "runtimes",
            **several,
            metavar="NAME[@VERSION]",
            help="Runtime, such as ort-cpu or ort-cpu@1.24.4; repeatable, or with commas.",
        ),
        click.option(
            "--layout",
            "layouts",
            type=click.Choice(list(LAYOUTS)),
            **several,
            help="How stereo is laid out; repeatable.",
        ),
        click.option("--threads", **several, metavar="N|all", help="Thread budget of a cell; repeatable."),
        click.option(
            "--option",
            "options",
            **several,
            metavar="[RUNTIME.]KEY=VALUE",
            help="Runtime option; repeat a KEY to sweep it.",
        ),
        click.option(
            "--placement",
            "placements",
            type=click.Choice(list(PLACEMENTS)),
            **several,
            help="Which processors threads are put on; repeatable.",
        ),
        click.option(
            "--sweep",
            type=click.Choice(list(KINDS)),
            default=None,
            help="Ask what each option does, with intervals: one at a time, in pairs, or every combination.",
        ),
        click.option(
            "--axis",
            "axes",
            **several,
            metavar="NAME[=V,V]",
            help="What a sweep changes; 'all': every option; repeatable.",
        ),
        click.option(
            "--copies",
            type=click.IntRange(min=0),
            default=None,
            help="How often a sweep repeats its default per round.",
        ),
        click.option(
            "--profile",
            type=click.Choice(list(profiles())),
            default=DEFAULT,
            show_default=True,
            help="How much is measured.",
        ),
        click.option("--cpus", metavar="LIST", default=None, help="Run workers on these CPUs only, such as 0,2."),
        click.option("--shape", "shapes", **several, metavar="INPUT=1,2,3", help="Sizes of a dynamic input."),
        click.option(
            "--input", "inputs", **several, metavar="INPUT=SPEC", help="Number, LO..HI, or .npy file to feed."
        ),
        click.option(
            "--output", "outputs", **several, metavar="OUTPUT=KIND", help="What an output is: mask, spectrum, audio, …"
        ),
        click.option(
            "--metric",
            "metrics",
            **several,
            metavar="FILE.py:FUNCTION",
            help="A metric of yours, judged against the form raw; may end in <=LIMIT or >=LIMIT.",
        ),
        click.option("--state", "states", **several, metavar="INPUT=OUTPUT", help="Output fed back on the next call."),
        click.option("--audio-seconds", type=float, default=None, help="Audio answered for by one call, seconds."),
        click.option("--frames", type=float, default=None, help="Frames per call; with --hop and --sample-rate."),
        click.option("--hop", type=float, default=None, help="Samples from frame to frame."),
        click.option("--sample-rate", type=float, default=None, help="Samples per second."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@dataclass(frozen=True)
class PlanFlags:
    """The values of :func:`plan_flags`."""

    suite: str | None
    models: tuple[str, ...]
    forms: tuple[str, ...]
    runtimes: tuple[str, ...]
    layouts: tuple[str, ...]
    threads: tuple[str, ...]
    options: tuple[str, ...]
    placements: tuple[str, ...]
    sweep: str | None
    axes: tuple[str, ...]
    copies: int | None
    profile: str
    cpus: str | None
    shapes: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    metrics: tuple[str, ...]
    states: tuple[str, ...]
    audio_seconds: float | None
    frames: float | None
    hop: float | None
    sample_rate: float | None

    def cpu_list(self) -> tuple[int, ...] | None:
        """The CPUs workers may run on; None when nobody said.

        Raises:
            UserError: not a list of CPUs that this process may use.
        """
        if self.cpus is None:
            return None
        usable = sorted(host.usable_cpus())
        try:
            chosen = tuple(sorted({int(item) for item in self.cpus.split(",")}))
        except ValueError:
            chosen = ()
        if not chosen or not set(chosen) <= set(usable):
            raise UserError(f"--cpus {self.cpus!r}: give CPU numbers such as 0,1; usable here: {_commas(usable)}")
        return chosen

    def plan(self) -> Plan:
        """The plan these flags stand for.

        Raises:
            UserError: they stand for none.
        """
        names, specs = self._models()
        if self.suite is None and not names:
            raise UserError(
                "say what to measure: a suite such as 'cpu', or --model NAME|FILE; 'rtfloor list cpu' shows one"
            )
        suite = load_suite(self.suite) if self.suite is not None else default_suite(names)
        if not specs and self._says_something_about_a_file():
            raise UserError(
                "--shape, --input, --output, --state, --audio-seconds, --frames, --hop and --sample-rate describe "
                "a file of yours: name it with --model FILE.onnx"
            )
        choice = Choice(
            models=tuple(names),
            forms=self.forms,
            runtimes=_listed(self.runtimes, "--runtime"),
            layouts=self.layouts,
            threads=tuple(parse_threads(value, "--threads") for value in self.threads),
            options=self.options,
            extra_models=specs,
            metrics=self._metrics(),
            placements=self.placements,
            sweep=self.sweep or "",
            axes=self.axes,
            copies=self.copies,
        )
        cpus = len(self.cpu_list() or host.usable_cpus())
        if self.options:
            bare = expand(suite, replace(choice, options=(), sweep="", axes=(), copies=None), self.profile, cpus)
            check_option_flags(self.options, list(dict.fromkeys(cell.runtime for cell in bare.cells)))
        return expand(suite, choice, self.profile, cpus)

    def _metrics(self) -> tuple[str, ...]:
        """Own metrics, with absolute paths: a worker may have another working folder."""
        try:
            return tuple(parse_metric(text).text for text in self.metrics)
        except ModelError as error:
            raise UserError(str(error)) from None

    def _models(self) -> tuple[list[str], dict[str, ModelSpec]]:
        files = [text for text in self.models if is_file(text)]
        if len(files) > 1 and self._says_something_about_a_file():
            raise UserError(
                "flags that describe a file need exactly one --model FILE; describe several in a suite file"
            )
        names: list[str] = []
        specs: dict[str, ModelSpec] = {}
        for text in self.models:
            if text not in files:
                names.append(text)
                continue
            # A file of yours must not pass for the zoo model of the same name.
            stem = Path(text).stem
            name = _unique(Path(text).name if stem in zoo() else stem, specs)
            names.append(name)
            specs[name] = self._spec(name, text)
        return names, specs

    def _spec(self, name: str, path: str) -> ModelSpec:
        numbers = {key: getattr(self, key) for key in ("audio_seconds", "frames", "hop", "sample_rate")}
        return file_spec(
            name, path, shapes=self.shapes, inputs=self.inputs, outputs=self.outputs, states=self.states, **numbers
        )

    def _says_something_about_a_file(self) -> bool:
        numbers = (self.audio_seconds, self.frames, self.hop, self.sample_rate)
        texts = (self.shapes, self.inputs, self.outputs, self.states)
        return any(texts) or any(number is not None for number in numbers)


def file_spec(
    name: str,
    path: str,
    *,
    shapes: Sequence[str] = (),
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    states: Sequence[str] = (),
    **numbers: float | None,
) -> ModelSpec:
    """What flags say about a file.

    Raises:
        UserError: a flag is not of the form NAME=VALUE, or says what is not possible.
    """
    entry: dict[str, Any] = {
        "path": path,
        "shapes": {key: parse_shape(value, f"--shape {key}") for key, value in _pairs(shapes, "--shape")},
        "states": dict(_pairs(states, "--state")),
        "inputs": dict(_pairs(inputs, "--input")),
        "outputs": dict(_pairs(outputs, "--output")),
        **{key: value for key, value in numbers.items() if value is not None},
    }
    assert set(entry) <= set(MODEL_KEYS)
    return model_spec(name, entry, f"model {path}", Path.cwd())


def _pairs(texts: Sequence[str], flag: str) -> list[tuple[str, str]]:
    pairs = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(f"{flag} {text!r} is not of the form NAME=VALUE")
        pairs.append((key, value))
    return pairs


def _listed(texts: Sequence[str], flag: str) -> tuple[str, ...]:
    """What a repeatable flag names, each text with commas or without."""
    names = tuple(dict.fromkeys(name.strip() for text in texts for name in text.split(",")))
    if "" in names:
        raise UserError(f"{flag} {','.join(texts)!r} has a comma with nothing on one side of it")
    return names


def is_file(text: str) -> bool:
    """A path or a file name, rather than the name of a zoo model."""
    return "/" in text or text.lower().endswith((".onnx", ".ort", ".pb")) or Path(text).is_file()


def _unique(name: str, taken: dict[str, ModelSpec]) -> str:
    """Two files of one name in one run must not become one model."""
    if name not in taken:
        return name
    number = 2
    while f"{name}-{number}" in taken:
        number += 1
    return f"{name}-{number}"


def _commas(values: Sequence[int]) -> str:
    return ",".join(map(str, values))
