"""From a spec to a table: cells, then timings, then reports. What ``leaderboard`` and ``run`` share."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import NothingToReportError, PrunebenchError, SpecError, StoreError
from benchmark.registry import REGISTRY
from benchmark.specs import Leaderboard

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.store.records import Record


def carry_out(spec: Leaderboard, out: Path, workers: int | None, quiet: bool) -> int:
    """Run what is missing, time it, write the reports and print the table; return the exit code."""
    from benchmark.harness.tree import grown
    from benchmark.store.folders import check_run
    from benchmark.store.front import drop_artefacts

    trees = grown(spec)  # before anything is written: a program that breaks its contract is a wrong spec
    check_run(out)
    from benchmark.harness import run as harness

    outcome = harness.run(spec, out=out, workers=workers, quiet=quiet)
    if spec.profile is not None:
        harness.profile(out, spec, quiet=quiet)
    cells = {path.cell.id for tree in trees for path in tree.cells}
    left_out: list[str] = []
    try:
        written = report([out], out, spec.normalizer, cells=cells)
    except ScoresLeftOutError as error:
        written, left_out = error.written, error.faults
    finally:  # whatever a report runs into, why a cell failed is said
        say_failed(outcome.failed)
    if not left_out or spec.keep_artefacts != "front":  # else it is not known which models are on the front
        dropped = drop_artefacts(out, cells, spec.keep_artefacts, spec.normalizer)
        if dropped:
            print(f"keep_artefacts: {spec.keep_artefacts}: {len(dropped)} model(s) deleted, records and plans kept")
    say_written(written)
    say_left_out(left_out)
    return 1 if outcome.failed or left_out else 0


class ScoresLeftOutError(PrunebenchError):
    """A normaliser broke: reports were written, without its scores."""

    def __init__(self, faults: list[str], written: list[Path]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults
        self.written = written


def say_left_out(faults: Sequence[str]) -> None:
    """Name, on stderr, the normalisers that broke."""
    for fault in faults:
        print(f"prunebench: error: {fault}; its scores are left out, records are kept", file=sys.stderr)


def say_failed(failed: Sequence[Record]) -> None:
    """Name the cells without a result, and why."""
    if failed:
        lines = [f"{record.data['spec']['method']['name']} ({record.cell}): {record.error}" for record in failed]
        print(f"{len(failed)} cell(s) failed and will be tried again next time:", *lines, sep="\n  ")


def report(
    runs: Sequence[Path], out: Path, normalizer: str, cells: Collection[str] | None = None, show: bool = True
) -> list[Path]:
    """Write all reports of some runs into ``out``, print the table, and return the paths written.

    ``normalizer`` may name several, separated by commas: the first ranks, the others stand beside it.

    Raises:
        StoreError: a run folder or record that cannot be used, or ``out`` cannot be written.
        SpecError: no such normaliser, or none for a language.
        ScoresLeftOutError: a normaliser broke; all was written and shown without its scores.
        PrunebenchError: a report broke; the others were written.
    """
    from benchmark.store.frame import frame

    left_out: list[str] = []
    table = frame(runs, normalizer=normalizer, cells=cells, faults=left_out)
    return report_table(table, out, show=show, left_out=left_out)


def report_table(
    table: pd.DataFrame, out: Path, show: bool = True, left_out: Sequence[str] = (), only: Collection[str] = ()
) -> list[Path]:
    """Write all reports of a scored frame into ``out``, print the table, and return the paths written.

    ``left_out`` names the normalisers that broke while the frame was scored; ``only`` the reports that are wanted.

    Raises:
        StoreError: ``out`` cannot be written, or a report of ``only`` has nothing to show.
        SpecError: ``only`` names a report that does not exist.
        ScoresLeftOutError: all was written and shown without the scores of ``left_out``.
        PrunebenchError: a report broke; the others were written.
    """
    for name in only:
        REGISTRY.lookup("report", name)
    written: list[Path] = []
    faults = REGISTRY.clashes("report")
    for name, plugin in REGISTRY.plugins("report"):
        if only and name not in only:
            continue
        try:
            written += plugin().write(table, out)
        except NothingToReportError:
            if name in only:
                raise
        except PrunebenchError:
            raise
        except OSError as error:
            raise StoreError(f"{out}: cannot be written ({error.strerror}); give a folder you may write to") from error
        except Exception as error:  # a plug-in's fault, whatever it is, must name the plug-in and spare the others
            faults.append(f"report {name!r} ({REGISTRY.owner('report', name)}): {type(error).__name__}: {error}")
    if show:
        show_table(table)
    if faults:
        raise PrunebenchError(f"{'; '.join([*left_out, *faults])}. The other reports are in {out}")
    if left_out:
        raise ScoresLeftOutError(list(left_out), written)
    return written


def normalizer_of(runs: Sequence[Path]) -> str:
    """Return the normaliser that the leaderboards of some run folders ask for.

    Raises:
        StoreError: not run folders.
        SpecError: they ask for none, or for several.
    """
    from benchmark.store.folders import kept_specs

    found = sorted({spec["normalizer"] for run in runs for spec in kept_specs(run)})
    if len(found) == 1:
        return str(found[0])
    said = f"ask for several normalisers ({', '.join(found)})" if found else "say no normaliser"
    raise SpecError(f"{', '.join(map(str, runs))}: the specs kept there {said}; choose one with --normalizer")


def show_table(table: pd.DataFrame) -> None:
    """Print the frame by every report that can: those with a method ``show(frame, console)``."""
    from benchmark.cli._tables import console

    screen = console()
    for _, plugin in REGISTRY.plugins("report"):
        show = getattr(plugin(), "show", None)
        if show is not None:
            show(table, screen)


def say_written(paths: Sequence[Path]) -> None:
    """Print where the files are."""
    print("written:", *(f"  {path}" for path in paths), sep="\n")
