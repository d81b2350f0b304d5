"""The command line: one file per verb. Nothing heavy is imported until a verb needs it."""

from __future__ import annotations

import io
import sys

import click

from bench import __version__
from bench.cli.audit import audit
from bench.cli.axes import axes
from bench.cli.baseline import baseline
from bench.cli.doctor import doctor
from bench.cli.floor import floor
from bench.cli.gate import gate
from bench.cli.list_ import list_command
from bench.cli.models_ import models_command
from bench.cli.nodes import nodes
from bench.cli.peaks import peaks
from bench.cli.report import report
from bench.cli.run import run
from bench.cli.show import show
from bench.cli.tune import tune
from bench.errors import UserError

# Errors of the other packages that are a person's mistake.
FOREIGN = ("ModelError", "RunFileError", "PeaksError", "PublishedError", "OptionError", "BaselineError")
EPILOG = """\b
Examples:
  rtfloor doctor                              what can run here, and how steady this machine is
  rtfloor run cpu                             every CPU runtime on a stereo streaming model
  rtfloor run --model net.onnx --shape x=1,2,513,48 --frames 48 --hop 512 --sample-rate 44100
  rtfloor axes ort-cpu                        every knob of a runtime, and what it does
  rtfloor run options                         which of ONNX Runtime's options matter on this machine
  rtfloor tune                                the best cell in a fraction of the time that trying everything takes
  rtfloor gate --baseline old.onnx --candidate new.onnx      did a change make it worse?
  rtfloor show latest                         the newest table again
  rtfloor report                              the newest run as a page, with charts
  rtfloor floor --hardware ryzen-7-5800x --out floor.png
  rtfloor nodes --model rt48                  where the time of a call goes, node by node
  rtfloor audit --contradictions              published figures that do not add up
"""


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="rtfloor")
def cli() -> None:
    """Which inference runtime, with which settings, answers soonest and still right on this machine?"""


VERBS = (
    *(doctor, models_command, axes, list_command, run, tune, gate, baseline, show, report),
    *(peaks, floor, nodes, audit),
)
for command in VERBS:
    cli.add_command(command)


def main() -> None:
    """Entry point: a person's mistake ends with one sentence and exit code 2, never with a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ‖ and × still gets its table
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("rtfloor: stopped", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except UserError as error:
        _refuse(error)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has seen enough
        sys.exit(0)
    except Exception as error:
        # The other packages' own user errors, told by name so that none of them is imported for it.
        if type(error).__name__ not in FOREIGN:
            raise
        _refuse(error)
    sys.exit(code if isinstance(code, int) else 0)


def _refuse(error: Exception) -> None:
    click.echo(f"rtfloor: {error}", err=True)
    sys.exit(2)
