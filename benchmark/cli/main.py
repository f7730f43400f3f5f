"""The command line ``prunebench``: verbs come from the registry, errors are one line, exit codes mean something.

Exit codes: 0 done, 1 done with failures (they are named), 2 the request cannot be carried out, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from benchmark.errors import PrunebenchError, SpecError
from benchmark.registry import KINDS, REGISTRY, Failure

_FIRST = (
    *("leaderboard", "run", "plan", "study", "ls", "describe", "report", "recommend", "score"),
    *("audit", "bundle", "merge", "profile", "compress", "export", "new", "doctor"),
)
"""Order in the help; a verb that is not named here follows, by name."""

_INTERRUPTED = 130

try:  # typer carries its own click since 0.20; before, it used the installed one
    from typer.exceptions import TyperException as _UsageError
except ImportError:  # pragma: no cover - an older typer
    from click.exceptions import ClickException as _UsageError  # type: ignore[assignment]


def build() -> typer.Typer:
    """Return the command line with every registered verb; nothing heavy is imported."""
    app = typer.Typer(
        name="prunebench",
        help="Compare compression methods for Whisper under equal training, budgets and measurement.",
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def top(
        context: typer.Context, version: bool = typer.Option(False, "--version", help="Print the version and stop.")
    ) -> None:
        if version:
            from benchmark import __version__

            print(f"prunebench {__version__}")
        elif context.invoked_subcommand is None:
            print(context.get_help())

    names = REGISTRY.names("verb")
    for name in sorted(names, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)):
        try:
            REGISTRY.lookup("verb", name)(app)
        except Exception as error:  # a plug-in's fault, whatever it is, must leave the other verbs; `doctor` names it
            fault = Failure(f"{REGISTRY.owner('verb', name)} (verb {name})", f"{type(error).__name__}: {error}")
            REGISTRY.failures += [] if fault in REGISTRY.failures else [fault]
    return app


def invoke(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors a user can act on become one line on stderr."""
    try:
        code = build()(args=arguments, prog_name="prunebench", standalone_mode=False)
        if code == _INTERRUPTED:  # typer has caught the interruption
            raise KeyboardInterrupt
    except PrunebenchError as error:
        return _fail(f"{error}{_hint(error)}")
    except (KeyboardInterrupt, typer.Abort):
        print("prunebench: interrupted; the same command goes on from here", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # `prunebench ls methods | head`: the reader left, which is no error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _UsageError as error:
        return _fail(error.format_message()) if error.format_message() else 2
    return code if isinstance(code, int) else 0


def main() -> None:
    """Entry point of the console script."""
    sys.exit(invoke())


def _fail(message: str) -> int:
    depot = sys.modules.get("benchmark.store.depot")  # where no run on an object store was met, no name is its mirror's
    said = message if depot is None else depot.named(message)
    print(f"prunebench: error: {' '.join(said.split())}", file=sys.stderr)
    return 2


def _hint(error: PrunebenchError) -> str:
    """A name may be unknown because its plug-in is broken."""
    kinds = tuple(f"unknown {kind} " for kind in KINDS)
    if not isinstance(error, SpecError) or not str(error).startswith(kinds) or not REGISTRY.failures:
        return ""
    return f" ({len(REGISTRY.failures)} plug-in(s) could not be loaded: see `prunebench doctor`)"
