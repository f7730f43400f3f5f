"""``prunebench recommend``: the artefact to ship under limits on error, size, work and measured speed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from benchmark.cli import _filters as filters
from benchmark.errors import SpecError, StoreError
from benchmark.registry import REGISTRY
from reports import _recommend_limits as limiting
from reports import _recommend_options as options

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.store.filters import Filter

_TIMED = ("memory", "rtfx", "speedup")


def recommend(
    runs: filters.Runs,
    max_wer: options.MaxWer = None,
    max_cer: options.MaxCer = None,
    margin: options.Margin = None,
    max_mb: options.MaxMb = None,
    max_params: options.MaxParams = None,
    max_macs: options.MaxMacs = None,
    max_peak_mb: options.MaxPeakMb = None,
    min_rtfx: options.MinRtfx = None,
    min_speedup: options.MinSpeedup = None,
    device: options.Device = None,
    prefer: options.Prefer = None,
    model: filters.Model = None,
    corpus: filters.Corpus = None,
    language: filters.Language = None,
    method: filters.Method = None,
    data: filters.Data = None,
    seeds: filters.Seeds = None,
    exportable: options.Exportable = False,
    normalizer: options.Normalizer = None,
    as_json: options.Json = False,
) -> None:
    """Name the artefact to ship under any mix of limits, the runner-up, how sure that is, and how it is exported.

    Without a limit: the entries that none beats in error and size. Exit code 1 where nothing fits.
    """
    bounds = _bounds(
        wer=max_wer,
        cer=max_cer,
        margin=margin,
        size=max_mb,
        params=max_params,
        macs=max_macs,
        memory=max_peak_mb,
        rtfx=min_rtfx,
        speedup=min_speedup,
    )
    where = filters.filter_of(model, corpus, language, method, data, seeds)
    timed = prefer == "speed" or any(key in bounds for key in _TIMED)
    frame, entries = _frames(runs, where, normalizer, device, timed, exportable)
    raise typer.Exit(_tell(frame, entries, bounds, prefer, as_json))


# --- what is asked --------------------------------------------------------------------------------------------------


def _bounds(**asked: float | str | None) -> dict[str, float]:
    """Return the limits that were given, in the units of their flags."""
    flags = {key: one.flag for key, one in limiting.quantities("wer", "", "").items()}
    flags |= {metric: f"--max-{metric}" for metric in ("wer", "cer")}
    found = {}
    for key, value in asked.items():
        if value is not None:
            number = limiting.amount(flags[key], value) if isinstance(value, str) else value
            found[key] = limiting.check(flags[key], number, zero=key in ("wer", "cer"))
    return found


def _frames(
    runs: Sequence[Path], where: Filter, normalizer: str | None, device: str | None, timed: bool, exportable: bool
) -> tuple[pd.DataFrame, set[str]]:
    """Return the scored frame of one ranking, timed on one device, and the entries of it that were asked for.

    Dense is in the frame whatever methods were asked for: differences are to it.
    """
    from benchmark.store.frame import frame
    from benchmark.text.chosen import checked, several
    from reports._recommend_entries import check_one_ranking

    if normalizer is not None:
        checked(normalizer)
    problems: list[str] = []
    asked = frame(runs, where=replace(where, yardstick=False), device=device, problems=problems)
    for problem in problems:
        print(f"prunebench: error: {problem}; left out", file=sys.stderr)
    check_one_ranking(asked)
    if timed and device is None:
        _check_device(asked.attrs["devices"], runs)
    choice = normalizer if normalizer is not None else _normalizer_of(runs, set(asked["cell"]))
    scored = frame(runs, several(choice)[0], where=where, device=device, problems=[])
    scored.attrs["problems"] = problems
    return scored, set(asked["entry"] if not exportable else asked.loc[asked["quantised"].isna(), "entry"])


def _check_device(devices: Sequence[str], runs: Sequence[Path]) -> None:
    """Refuse a limit on what was measured on no device, or on several of which none was named."""
    if not devices:
        where = ", ".join(map(str, runs))
        raise StoreError(f"{where}: nothing was timed, so speed cannot be asked for; prunebench profile does that")
    if len(devices) > 1:
        raise SpecError(
            f"timed on several devices, and speeds are of one; choose with --device: {', '.join(sorted(devices))}"
        )


def _normalizer_of(runs: Sequence[Path], cells: set[str]) -> str:
    """Return the normaliser that the leaderboards of these cells ask for."""
    from benchmark.cli._flow import normalizer_of
    from benchmark.store.folders import started

    found = {str(spec["normalizer"]) for run in runs for spec, theirs in started(run) if cells & set(theirs)}
    return found.pop() if len(found) == 1 else normalizer_of(runs)


# --- what is told ---------------------------------------------------------------------------------------------------


def _tell(frame: pd.DataFrame, entries: set[str], bounds: dict[str, float], prefer: str | None, as_json: bool) -> int:
    """Print the advice; return the exit code."""
    from benchmark.cli._tables import console
    from reports import _recommend_json as plain
    from reports import _recommend_screen as screen
    from reports import _recommend_text as text
    from reports._content import first_split, score_column
    from reports._recommend import advise
    from reports._recommend_entries import candidates
    from reports._recommend_export import export

    metric = str(frame.attrs["metric"])
    _check_metric(frame, bounds, prefer)
    known = limiting.quantities(metric, first_split(frame), score_column(frame))
    limits = limiting.limits({"error" if key == metric else key: bound for key, bound in bounds.items()}, known)
    table, shown = candidates(frame, entries), list(known.values())
    found, written = None, None
    if limits or prefer is not None:
        found = advise(frame, table, limits, limiting.aim(limits, prefer, metric))
        written = None if found.first is None else export(found.shipped, frame.attrs["normalizer"])
    code = 0 if found is None or written is not None else 1
    if as_json:
        told = plain.told_front(frame, table, shown) if found is None else plain.told(frame, found, shown, written)
        print(json.dumps(told, ensure_ascii=False, indent=1, allow_nan=False))
        return code
    where = console()
    screen.say(where, text.heading(frame), "dim")
    where.print()
    if found is None:
        screen.show_front(table, shown, where)
    elif written is None:
        screen.show_nothing(found, where)
    else:
        screen.show_choice(found, shown, written, where)
    where.print()
    for note in text.notes(frame, table, found):
        screen.say(where, note, "dim", hang=2)
    return code


def _check_metric(frame: pd.DataFrame, bounds: dict[str, float], prefer: str | None) -> None:
    """Refuse a limit on an error rate that these records are not ranked by."""
    metric = str(frame.attrs["metric"])
    other = {"wer": "cer", "cer": "wer"}.get(metric)
    if other in bounds or (prefer is not None and prefer == other):
        flag = f"--max-{other}" if other in bounds else f"--prefer {other}"
        raise SpecError(
            f"{flag}: these records are ranked by {metric.upper()} (normalizer {frame.attrs['normalizer']}); "
            f"use {flag.replace(str(other), metric)}, or another --normalizer"
        )


@REGISTRY.register("verb", "recommend")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("recommend")(recommend)
