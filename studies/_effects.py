"""What each arm of an ablation changes: error rates over seeds, and paired differences to the full method.

One row an arm and point, then (factorial designs) one a level: its main effect. Rates and differences are fractions.

| columns | meaning |
|---|---|
| what | `full`, `arm`, or `main` (the mean over all combinations of the other factors' levels) |
| point, kind, keep | the budget |
| factor, level, arm | what was changed; several are joined by ` + ` |
| status, reason | `ok`, `failed` or `missing`; why there are no numbers |
| seeds, rate, lowest, highest | error rate in the normaliser's unit: mean, lowest and highest over seeds |
| difference, lo, hi | rate minus the full method's, 95 %, seeds and utterances resampled; above zero the arm is worse |
| p, p_holm | two-sided; corrected for the number of arms of the point (main effects are a family of their own) |
| worse | share of resamples in which the arm is worse than the full method |
| nominal, stored | prunable weights that are not zero, and those that are saved: shares, means over seeds |
| macs | multiply-adds of a window up to its first token, mean over seeds |
| steps | optimiser steps, the same for all seeds |
| normalizer, signature | what the scores were made with; another one than the full method's: the scores differ |

All differences of a point are taken on the same resamples. An arm counts as failed as soon as one seed has no result:
the mean of the others would be another thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.measure.bootstrap import compared, rates_over_seeds
from benchmark.measure.multiple import holm
from benchmark.measure.scores import Normalised, Scored, check_paired, scored
from studies._ablate import Planned
from studies._arms import Arm

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.store.records import Record

RESAMPLES = 10_000
SIGNIFICANT = 0.05
"""Corrected p below which a difference is one."""
NAN = float("nan")


@dataclass
class Row:
    """One arm or main effect; see the module for the columns."""

    what: str
    point: str
    kind: str
    keep: float
    factor: str
    level: str
    arm: str
    status: str = "ok"
    reason: str = ""
    seeds: int = 0
    rate: float = NAN
    lowest: float = NAN
    highest: float = NAN
    difference: float = NAN
    lo: float = NAN
    hi: float = NAN
    p: float = NAN
    p_holm: float = NAN
    worse: float = NAN
    nominal: float = NAN
    stored: float = NAN
    macs: float = NAN
    steps: float = NAN
    normalizer: str = ""
    signature: str = ""


@dataclass
class Rates:
    """Rates of one arm: observed, shape ``(seeds,)``, and resampled, shape ``(resamples,)``."""

    observed: np.ndarray
    resampled: np.ndarray


@dataclass
class _Point:
    """The arms of one point with what is known of each."""

    arms: list[Arm]
    rows: list[Row]
    scores: list[list[Scored] | None]
    rates: list[Rates | None] = field(default_factory=list)


def effects(planned: Planned, run: Path, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Return the frame of an ablation from the records in a run folder; ``attrs`` say what holds for all rows.

    Raises:
        StoreError: a record or transcript that cannot be used, or arms that were tested on different data.
        SpecError: a broken normaliser.
    """
    import pandas as pd

    from benchmark.store.records import latest

    found = {record.cell: record for record in latest(run)}
    spec = planned.spec
    split = next(iter(spec.corpus.evaluate))
    normalisers: dict[str, Normalised] = {}
    rows: list[Row] = []
    utterances = set()
    for point in spec.points:
        ours = [at for at, arm in enumerate(planned.arms) if arm.point == point]
        some = _Point([planned.arms[at] for at in ours], [], [])
        for at in ours:
            records = [found.get(path.cell.id) for path in planned.cells[at]]
            arm = planned.arms[at]
            normalised = normalisers.setdefault(arm.normalizer, Normalised(arm.normalizer))
            some.rows.append(_row(arm, records))
            some.scores.append(_scores(some.rows[-1], records, split, normalised))
        check_paired([one for scores in some.scores for one in scores or ()])
        utterances |= {len(scores[0].ids) for scores in some.scores if scores}
        some.rates = _rates(some.scores, resamples)
        _compare(some)
        rows += some.rows
        if spec.design == "factorial":
            rows += _main_effects(some)
    table = pd.DataFrame([asdict(row) for row in rows])
    table.attrs = {
        "name": spec.name,
        "method": spec.method.title,
        "design": spec.design,
        "model": spec.model.name,
        "corpus": spec.corpus.name,
        "split": split,
        "utterances": max(utterances, default=0),
        "seeds": list(spec.seeds),
        "steps": spec.training.steps,
        "resamples": resamples,
        "full": {str(p): {f.name: f.full for f in spec.factors_at(p)} for p in spec.points},
    }
    return table


# --- arms ---------------------------------------------------------------------------------------------------------


def _row(arm: Arm, records: Sequence[Record | None]) -> Row:
    """Return what an arm's records say besides its scores."""
    row = Row(
        what="full" if arm.full else "arm",
        point=str(arm.point),
        kind=arm.point.budget,
        keep=NAN if arm.point.keep is None else arm.point.keep,
        factor=" + ".join(factor for factor, _ in arm.changed),
        level=" + ".join(level for _, level in arm.changed) or "full method",
        arm=str(arm),
        seeds=len(records),
        normalizer=arm.normalizer,
    )
    failed = [record for record in records if record is not None and not record.ok]
    if failed or None in records:
        row.status = "failed" if failed else "missing"
        without = len(failed) or sum(record is None for record in records)
        row.reason = f"{without} of {len(records)} seeds: {failed[0].error if failed else 'not carried out yet'}"
        return row
    done = [record.data for record in records if record is not None]
    row.nominal = float(np.mean([data["plan"]["nominal"] for data in done]))
    row.stored = float(np.mean([data["plan"]["stored"] for data in done]))
    macs = [data["counts"]["macs"] for data in done]
    row.macs = float(np.mean([one["encoder"] + one["cross_kv"] + one["decoder_token"] for one in macs]))
    row.steps = float(np.mean([data["training"]["steps"] for data in done]))
    return row


def _scores(row: Row, records: Sequence[Record | None], split: str, normalised: Normalised) -> list[Scored] | None:
    if row.status != "ok":
        return None
    found = [scored(record, split, normalised) for record in records if record is not None]
    rates = [one.main.rate for one in found]
    row.rate, row.lowest, row.highest = float(np.mean(rates)), min(rates), max(rates)
    row.signature = found[0].signature
    return found


def _rates(scores: Sequence[list[Scored] | None], resamples: int) -> list[Rates | None]:
    """Return the rates of all arms on common resamples; normalisers count other lengths on the same draws."""
    found: list[Rates | None] = [None] * len(scores)
    by_signature: dict[str, list[int]] = {}
    for at, some in enumerate(scores):
        if some:
            by_signature.setdefault(some[0].signature, []).append(at)
    for places in by_signature.values():
        ours = [some for at in places if (some := scores[at])]
        errors = np.array([[one.main.errors for one in some] for some in ours])
        resampled = rates_over_seeds(errors, ours[0][0].main.lengths, resamples, seed=0)
        for at, some, rates in zip(places, ours, resampled, strict=True):
            found[at] = Rates(np.array([one.main.rate for one in some]), rates)
    return found


def _compare(some: _Point) -> None:
    """Fill in the differences of each arm to the full method, which comes first."""
    full = some.rates[0]
    for row, rates in zip(some.rows[1:], some.rates[1:], strict=True):
        if full is not None and rates is not None:
            _fill(row, rates.resampled - full.resampled, float(np.mean(rates.observed - full.observed)))
        elif rates is not None:
            row.reason = f"nothing to compare with: the full method {some.rows[0].status} ({some.rows[0].reason})"
    _correct(some.rows)


def _fill(row: Row, differences: np.ndarray, observed: float) -> None:
    result = compared(differences, observed)
    row.difference, row.lo, row.hi, row.p = result.difference, result.lo, result.hi, result.p
    row.worse = float(np.mean(differences[~np.isnan(differences)] > 1e-12))  # rounding makes no arm worse


def _correct(rows: Sequence[Row]) -> None:
    for row, p in zip(rows, holm([row.p for row in rows]), strict=True):
        row.p_holm = float(p)


# --- factorial designs --------------------------------------------------------------------------------------------


def _main_effects(some: _Point) -> list[Row]:
    """Return, for each level, the mean of its differences to the full level over all combinations of the others."""
    at = {frozenset(arm.changed): number for number, arm in enumerate(some.arms)}
    order = [factor for factor, _ in some.arms[-1].changed]  # which has all of them, in the order of the spec
    levels = dict.fromkeys(one for arm in some.arms for one in arm.changed)
    rows = []
    for factor, level in sorted(levels, key=lambda one: order.index(one[0])):
        pairs = [
            (number, at[frozenset(arm.changed) - {(factor, level)}])
            for number, arm in enumerate(some.arms)
            if (factor, level) in arm.changed
        ]
        rows.append(_main_effect(some, factor, level, pairs))
    _correct(rows)
    return rows


def _main_effect(some: _Point, factor: str, level: str, pairs: Sequence[tuple[int, int]]) -> Row:
    first = some.rows[0]
    row = Row("main", first.point, first.kind, first.keep, factor, level, f"{factor}: {level}", seeds=first.seeds)
    row.normalizer, row.signature = first.normalizer, first.signature
    rates: list[tuple[Any, Any]] = [(some.rates[a], some.rates[b]) for a, b in pairs]
    lacking = [some.rows[number] for pair in pairs for number in pair if some.rates[number] is None]
    if lacking:
        row.status = lacking[0].status
        row.reason = f"arm {lacking[0].arm} {lacking[0].status}: {lacking[0].reason}"
        return row
    with_level = np.mean([a.observed for a, _ in rates], axis=0)
    row.rate, row.lowest, row.highest = float(with_level.mean()), float(with_level.min()), float(with_level.max())
    resampled = np.mean([a.resampled - b.resampled for a, b in rates], axis=0)
    _fill(row, resampled, float(np.mean([a.observed - b.observed for a, b in rates])))
    return row
