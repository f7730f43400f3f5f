"""What must be said below a board for its numbers to mean something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmark.measure.bootstrap import FEW_SPEAKERS
from benchmark.store.comparing import SIGNIFICANT
from benchmark.store.frame import AND
from benchmark.store.scoring import column
from reports._cells import absent, count
from reports._frames import first_split
from reports._resampled import resampled

if TYPE_CHECKING:
    import pandas as pd


def notes(rows: pd.DataFrame) -> Iterator[str]:
    """Yield what must be said below a board for its numbers to mean something."""
    about = rows.attrs
    for prefix, one in (("", about), *((f"{slug}__", one) for slug, one in about.get("others", {}).items())):
        signed = sorted(rows[f"{prefix}signature"].dropna().unique()) if f"{prefix}signature" in rows else []
        said = f"signature {' / '.join(signed)}" if signed else "no scores"
        yield f"{'Beside it: normaliser' if prefix else 'Normaliser'} {one.get('normalizer')}; {said}."
    yield from (f"Scores left out: {fault}" for fault in about.get("faults", ()))
    for split in about.get("splits", ()):
        prefix = column(split)
        hashes = ", ".join(f"{value[:12]}" for value in rows[f"{prefix}_hash"].dropna().unique())
        used = rows[f"{prefix}_utterances"].dropna()
        if len(used):
            yield f"Data {split}: {count(used.iloc[0]).text} utterances, hash {hashes}{_odd(rows, prefix)}."
    whole = rows["denominator"].dropna().unique()
    if len(whole):
        kept = ", ".join(f"{value:,}" for value in whole)
        yield f"Kept fractions are of {kept} prunable weights (attention projections and feed-forward matrices)."
    positions = rows["macs_position"].dropna().unique()
    if len(positions):
        yield f"Decoder MACs: one token with the cache at position {', '.join(map(str, positions))}."
    device = about.get("device")
    at = "" if about.get("batch") is None else f" at batch {about['batch']}"
    if device:
        yield (
            f"Timed on {device}{at}, interleaved with dense. RTFx is absolute, and of the moment at which a model was "
            "timed; what may be compared is the speed to dense."
        )
    else:
        yield "Not timed (prunebench profile does that)."
    yield from _where(rows)
    yield from _significance(rows)
    yield from _compared(rows)
    failed, stopped, missing = (int(rows[what].sum()) for what in ("failed", "stopped", "missing"))
    if missing:
        yield f"{missing} cell{'s' * (missing > 1)} MISSING: asked for, and not run yet. The same command goes on."
    yield from (f"MISSING: {lost}." for lost in about.get("lost", ()))
    if stopped:
        yield f"{stopped} cell{'s' * (stopped > 1)} of a study stopped while training: no result, and no failure."
    if failed:
        yield f"{failed} cell{'s' * (failed > 1)} FAILED and carr{'y' if failed > 1 else 'ies'} no result."
    yield from (f"Left out, broken: {problem}" for problem in about.get("problems", ()))


def _where(rows: pd.DataFrame) -> Iterator[str]:
    """Yield on which devices and threads the models were trained and decoded: a node may be trained elsewhere."""
    finished = rows[rows["status"].eq("ok")]
    trained = finished.loc[finished["steps"].gt(0), "fitted_on"]
    decoded_on, trained_on = _several(finished["decoded_on"]), _several(trained)
    unsaid = bool(trained.isna().any())
    if not decoded_on:
        return
    if trained_on == decoded_on and not unsaid:
        yield f"Trained and decoded on {decoded_on}."
    else:
        said = f"Trained on {trained_on}; decoded on" if trained_on else "Decoded on"
        yield f"{said} {decoded_on}{'; of some no record says where they were trained' if unsaid else ''}."


def _several(places: pd.Series) -> str:
    """Return the places of some entries, each once, in order."""
    return AND.join(sorted({one for some in places.dropna() for one in some.split(AND) if one}))


def _significance(rows: pd.DataFrame) -> Iterator[str]:
    """Yield by what intervals and ranks are made: the method is named where its numbers are."""
    about = rows.attrs
    drawn = rows[f"{column(first_split(rows))}_resampled"].dropna().unique()
    if not len(drawn):
        return
    seeds = int(rows["seeds"].max())
    levels = " (two levels)" if seeds > 1 else ""
    yield (
        f"Intervals, differences and p-values: paired bootstrap of {resampled(' or '.join(drawn), seeds, most=True)}"
        f"{levels}, "
        f"{about.get('resamples', 0):,} resamples; ranks: Holm's correction over all pairs of a block and kept "
        f"fraction, p < {SIGNIFICANT:g}; non-inferiority: margin {100 * about.get('margin', 0):g} points."
    )
    few = [text for text in drawn if text.endswith("speakers") and int(text.split()[0]) < FEW_SPEAKERS]
    if few:
        yield f"{few[0]} are few: a bootstrap of them gives intervals that are somewhat too narrow."
    if seeds == 1:
        yield "One seed: the spread between trainings is in no interval here; --seeds 0,1,2 brings it in."
    most = rows[rows["rank"].notna()].groupby(["block", "keep"]).size().max() if rows["rank"].notna().any() else 0
    if SIGNIFICANT * (about.get("resamples", 0) + 1) < most * (most - 1) / 2:
        yield f"{most} methods share a budget: of so many pairs {about['resamples']:,} resamples can tell none apart."


def _compared(rows: pd.DataFrame) -> Iterator[str]:
    """Yield for how many entries the difference to dense is over fewer seeds than the error rate beside it."""
    name = f"{column(first_split(rows))}_delta_seeds"
    over = rows[name] if name in rows else rows["seeds"]  # where all failed, nothing is compared
    fewer = int(((over > 0) & (over < rows["seeds"])).sum())
    if fewer:
        yield (
            f"Dense lacks seeds: for {fewer} entr{'ies' if fewer > 1 else 'y'} Δ, no worse and non-inferior are over "
            "fewer seeds (said beside their number) than the error rate, so that Δ is not the difference of the rates "
            "shown."
        )


def _odd(rows: pd.DataFrame, prefix: str) -> str:
    """Return what is unusual about a split's data; empty where nothing is."""
    told = {"skipped": "unreadable and left out", "unreferenced": "without a reference word"}
    told["in_training"] = "HEARD IN TRAINING TOO"
    told["emptied"] = "with a reference of which the normaliser leaves nothing"
    found = {what: rows[f"{prefix}_{what}"].max() for what in told if f"{prefix}_{what}" in rows}
    return "".join(f", {int(most)} {told[what]}" for what, most in found.items() if not absent(most) and most > 0)
