"""Every job of this project, each in an environment of its own. ``nox -l`` lists them."""

import sys
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent))

from runtimes.gpu.nvml import gpu_names  # needs nothing that is not in the standard library

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests"]

PACKAGES = ["bench", "runtimes", "models", "results", "reports"]
TENSORRT = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]["tensorrt"]


# Tests start hundreds of processes; without bytecode each of them compiles NumPy and more of it anew.
COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}


@nox.session(name="bench-cpu")
def bench_cpu(session: nox.Session) -> None:
    """Measure every CPU runtime here, and report; flags after -- go to 'rtfloor run', such as --profile smoke."""
    session.install("-e", ".[cpu,surgery]")
    session.run("rtfloor", "run", "cpu", "--report", *session.posargs)


@nox.session(name="bench-gpu")
def bench_gpu(session: nox.Session) -> None:
    """Measure every GPU runtime here, and report; without a GPU, say in seconds what is missing, and skip."""
    if not gpu_names():
        # What measures on GPUs is gigabytes, and would be of no use here.
        session.install("-e", ".")
        session.run("rtfloor", "doctor", "--device", "gpu")
        session.skip("NOTHING WAS MEASURED: no NVIDIA GPU with a working driver is here; 'nvidia-smi' must list one")
    session.install("-e", ".[gpu,tvm-gpu,torch]")
    # TensorRT comes from NVIDIA's own index, which not every machine reaches; without it its rows say so.
    session.install(*TENSORRT, success_codes=[0, 1, 2])
    # In turns, and each several times: the minutes are those of loading engines. A later --time takes its place.
    session.run("rtfloor", "run", "gpu", "--report", "--time", "900", *session.posargs)


@nox.session
def report(session: nox.Session) -> None:
    """Write the report of the newest run; names of runs and flags after -- go to 'rtfloor report'."""
    # Nothing is measured, so no runtime is needed.
    session.install("-e", ".")
    session.run("rtfloor", "report", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite, over every CPU runtime."""
    session.install("-e", ".[cpu,tvm-tune,dev]")
    # Whole modules to each process: what a module has made, such as a tuned library, is made once.
    session.run("pytest", "-n", "2", "--dist", "loadscope", *session.posargs, env=COMPILED)


@nox.session(name="tests-torch", venv_backend="virtualenv")
def tests_torch(session: nox.Session) -> None:
    """The torch adapter's tests; apart, because torch can be gigabytes."""
    # pip and not uv: pip also looks where a machine keeps wheels of its own.
    session.install("-e", ".[torch,dev]")
    # What is not about torch was tested without it.
    chosen = ("tests/contract", "tests/runtimes", "-k", "torch")
    session.run("pytest", "-n", "2", "--dist", "loadscope", *chosen, *session.posargs, env=COMPILED)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, and the walls between packages."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Strict types, over the packages."""
    session.install("-e", ".[dev]")
    session.run("mypy")


@nox.session
def bias(session: nox.Session) -> None:
    """What measuring itself costs: the harness beside a bare loop, in interleaved processes."""
    session.install("-e", ".[cpu]")
    session.run("python", "-m", "bench.bias", *session.posargs)


@nox.session
def gate(session: nox.Session) -> None:
    """Gate a change: flags after -- go to 'rtfloor gate'; without any, this code's cost beside the commit before."""
    session.install("-e", ".[cpu,dev]")
    if session.posargs:
        session.run("rtfloor", "gate", *session.posargs)
    else:
        # A machine too noisy to tell says so, and is no reason to refuse a change.
        session.run("python", "-m", "bench.overhead", success_codes=[0, 3])


@nox.session
def overhead(session: nox.Session) -> None:
    """Benchmarks of the harness's own code, with pytest-benchmark."""
    session.install("-e", ".[cpu,dev]")
    session.run("pytest", "tests/overhead", "--benchmark-only", "-o", "addopts=", *session.posargs)
