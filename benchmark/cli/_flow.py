"""From a spec to a table: cells, then timings, then reports. What ``leaderboard`` and ``run`` share."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import NothingToReportError, PrunebenchError, SpecError, StoreError
from benchmark.registry import REGISTRY
from benchmark.specs import Leaderboard

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.harness.executors.interface import Executor
    from benchmark.harness.place import Place
    from benchmark.store.records import Record


def carry_out(spec: Leaderboard, where: Path | str, executor: Executor, quiet: bool) -> int:
    """Run what is missing, time it, write the reports and print the table; return the exit code.

    ``where`` may be the URL of a place on an object store: then the reports are written into its mirror, and sent.
    """
    from benchmark.harness.place import Place
    from benchmark.harness.tree import grown

    trees = grown(spec)  # before anything is written: a program that breaks its contract is a wrong spec
    place = Place.of(where)
    out = place.folder
    asked = out if place.depot is None else place
    from benchmark.harness import run as harness

    outcome = harness.run(spec, out=asked, quiet=quiet, executor=executor)
    if spec.profile is not None:
        harness.profile(asked, spec, quiet=quiet)
    cells = {path.cell.id for tree in trees for path in tree.cells}
    left_out: list[str] = []
    broken: list[str] = []
    try:
        table, faults = scored_frame([out], spec.normalizer, broken, cells=cells)
        written = report_table(table, out, left_out=faults)
    except ScoresLeftOutError as error:
        written, left_out = error.written, error.faults
    except ReportsLeftOutError as error:
        say_written(_sent(place, error.written))
        raise
    finally:  # whatever a report runs into, why a cell failed is said
        say_failed(outcome.failed)
    if not left_out or spec.keep_artefacts != "front":  # else it is not known which models are on the front
        dropped = _drop(place, cells, spec)
        if dropped:
            print(f"keep_artefacts: {spec.keep_artefacts}: {len(dropped)} model(s) deleted, records and plans kept")
    say_written(_sent(place, written))
    say_left_out(left_out)
    say_broken(broken)
    return 1 if outcome.failed or left_out or broken else 0


def _sent(place: Place, written: list[Path]) -> list[Path] | list[str]:
    """Return where reports are: of a run on an object store, after they were sent there."""
    return written if place.depot is None else place.depot.put_files(written)


def _drop(place: Place, cells: Collection[str], spec: Leaderboard) -> list[str]:
    """Delete the models that a spec does not want to keep; return the cells that had one."""
    from benchmark.store.front import drop_artefacts, unwanted

    if place.depot is None:
        return drop_artefacts(place.folder, cells, spec.keep_artefacts, spec.normalizer)
    return place.depot.drop_models(unwanted(place.folder, cells, spec.keep_artefacts, spec.normalizer))


class ScoresLeftOutError(PrunebenchError):
    """A normaliser broke: reports were written, without its scores."""

    def __init__(self, faults: list[str], written: list[Path]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults
        self.written = written


class ReportsLeftOutError(PrunebenchError):
    """Some reports broke, or had nothing to show though they were asked for; the others were written."""

    def __init__(self, said: str, written: list[Path]) -> None:
        super().__init__(said)
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


def scored_frame(
    runs: Sequence[Path], normalizer: str, broken: list[str], **options: Any
) -> tuple[pd.DataFrame, list[str]]:
    """Return the scored frame of some runs with their gaps, and the normalisers that broke while it was scored.

    Args:
        runs: run folders.
        normalizer: one, or several separated by commas: the first ranks, the others stand beside it.
        broken: where records that cannot be used are named, which are left out.
        options: further ones of ``benchmark.store.frame.frame``.

    Raises:
        StoreError: a run folder that cannot be used.
        SpecError: no such normaliser, or none for a language.
    """
    from benchmark.harness.gaps import asked
    from benchmark.store.frame import frame

    left_out: list[str] = []
    lost: list[str] = []
    if "cells" not in options:
        options["asked"] = asked(runs, lost)
    table = frame(runs, normalizer=normalizer, faults=left_out, problems=broken, **options)
    table.attrs["lost"] = lost
    return table, left_out


def say_broken(broken: Sequence[str]) -> None:
    """Name, on stderr, the records that cannot be used."""
    from benchmark.store.depot import named

    for problem in broken:
        print(f"prunebench: error: {named(problem)}; it is left out", file=sys.stderr)


def report_table(
    table: pd.DataFrame, out: Path, show: bool = True, left_out: Sequence[str] = (), only: Collection[str] = ()
) -> list[Path]:
    """Write all reports of a scored frame into ``out``, print the table, and return the paths written.

    They are made apart and moved to ``out`` at the end; what lies there already stays, but for files of their names.
    ``left_out`` names the normalisers that broke while the frame was scored; ``only`` the reports that are wanted.

    Raises:
        StoreError: ``out`` cannot be written, or a folder lies in the way of a file; then nothing is written.
        SpecError: ``only`` names a report that does not exist.
        ScoresLeftOutError: all was written and shown without the scores of ``left_out``.
        ReportsLeftOutError: a report broke, or one of ``only`` has nothing to show; the others were written.
    """
    for name in only:
        REGISTRY.lookup("report", name)
    from benchmark.forked import LARGE, forked
    from benchmark.store.staging import staged

    wanted = [(name, plugin) for name, plugin in REGISTRY.plugins("report") if not only or name in only]
    units: dict[str, list[tuple[str, type[Any]]]] = {}  # those of several reports first: they take longest
    for name, plugin in sorted(wanted, key=lambda named: not named[1].together):
        units.setdefault(plugin.together or f"{name} alone", []).append((name, plugin))
    written: list[Path] = []
    faults = REGISTRY.clashes("report")
    with staged(out) as folder:

        def write(unit: list[tuple[str, type[Any]]]) -> list[tuple[str, list[Path] | NothingToReportError | str]]:
            return [(name, _written(name, plugin, table, folder, out)) for name, plugin in unit]

        results = chain.from_iterable(forked(write, list(units.values()), large=len(table) >= LARGE))
        for _, result in sorted(results, key=itemgetter(0)):
            if isinstance(result, str):
                faults.append(result)
            elif isinstance(result, NothingToReportError):
                faults += [str(result)] if only else []
            else:
                written += [out / path.relative_to(folder) if path.is_relative_to(folder) else path for path in result]
    if show:
        show_table(table)
    if faults:
        said = "; ".join([*left_out, *faults])
        raise ReportsLeftOutError(f"{said}. The other reports are in {out}" if written else said, written)
    if left_out:
        raise ScoresLeftOutError(list(left_out), written)
    return written


def _written(
    name: str, plugin: type[Any], table: pd.DataFrame, folder: Path, out: Path
) -> list[Path] | NothingToReportError | str:
    """Write one report and return its files, that it has nothing to show, or what is said of a plug-in that broke."""
    try:
        return [Path(path) for path in plugin().write(table, folder)]
    except NothingToReportError as error:
        return error
    except PrunebenchError:
        raise
    except OSError as error:
        raise StoreError(f"{out}: cannot be written ({error.strerror}); give a folder you may write to") from error
    except Exception as error:  # a plug-in's fault, whatever it is, must name the plug-in and spare the others
        return f"report {name!r} ({REGISTRY.owner('report', name)}): {type(error).__name__}: {error}"


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


def say_written(paths: Sequence[Path] | Sequence[str]) -> None:
    """Print where the files are."""
    print("written:", *(f"  {path}" for path in paths), sep="\n")
