"""The one evaluation at the end: configurations on the test split, over seeds, paired utterance by utterance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from benchmark.errors import SpecError
from benchmark.harness.tree import grow
from benchmark.measure.bootstrap import Paired, paired_over_seeds
from benchmark.measure.scores import Normalised, Scored, check_paired, scored
from benchmark.search import Parameter
from benchmark.specs import Leaderboard, MethodSpec, Row, digest
from benchmark.store.records import Record
from studies._effects import holm
from studies._outcomes import best, settled
from studies._space import board, configured
from studies._spec import Point, StudySpec

RESAMPLES = 10_000
TESTED = "tested at"
"""The study's attribute that says after how many trials the test split was met."""
FRONT = 6
"""Largest number of configurations of a Pareto front that are tested."""


@dataclass(frozen=True)
class Entry:
    """One configuration that is tested: as a leaderboard of its own, one cell a seed."""

    name: str
    board: Leaderboard

    @property
    def cells(self) -> dict[int, str]:
        """Seed to cell."""
        return {path.cell.seed: path.cell.id for path in grow(self.board).cells}


@dataclass(frozen=True)
class Tested:
    """The records of an entry by seed, and why there are none where it failed."""

    entry: Entry
    records: dict[int, Record]
    failure: str

    @property
    def ok(self) -> bool:
        """Whether every seed has a result."""
        return not self.failure


def entry(spec: StudySpec, point: Point, name: str, found: Sequence[Parameter], values: Mapping[str, Any]) -> Entry:
    """Return one configuration on the test splits of the spec.

    Raises:
        SpecError: the spec has no test.
    """
    if spec.test is None:
        raise SpecError("the spec has test: null; name splits and seeds under test to have the best one tested")
    method, training = configured(point, found, values)
    made = board(spec, point, method, training, evaluate=spec.test.splits, seeds=spec.test.seeds, keep_artefacts=True)
    return Entry(name, made)


def dense_entry(spec: StudySpec, point: Point) -> Entry:
    """Return the yardstick: the same training with nothing removed."""
    assert spec.test is not None
    made = board(spec, point, point.method, {}, evaluate=spec.test.splits, seeds=spec.test.seeds, keep_artefacts=True)
    return Entry("dense", made.model_copy(update={"grid": [Row(methods=[MethodSpec(name="dense")])]}))


def test(entries: Sequence[Entry], run: Path, *, workers: int | None, quiet: bool) -> list[Tested]:
    """Carry out all entries; those of one training recipe in one leaderboard, so that they share what they can."""
    from benchmark.harness.run import run as carry_out

    found: dict[str, Record] = {}
    for merged in boards(entries):
        outcome = carry_out(merged, out=run, workers=workers, quiet=quiet)
        found |= {record.cell: record for record in outcome.records}
    tested = []
    for one in entries:
        records = {seed: found[cell] for seed, cell in one.cells.items() if cell in found}
        failed = [f"seed {seed}: {record.error}" for seed, record in records.items() if not record.ok]
        failed += [f"seed {seed}: no record" for seed in one.cells if seed not in records]
        tested.append(Tested(one, records, failed[0] if failed else ""))
    return tested


def boards(entries: Sequence[Entry]) -> list[Leaderboard]:
    """Return the leaderboards that hold all entries, one a training recipe."""
    by_recipe: dict[str, list[Leaderboard]] = {}
    for one in entries:
        by_recipe.setdefault(digest(one.board.training, defaults=True), []).append(one.board)
    return [
        group[0].model_copy(update={"grid": [row for part in group for row in part.grid]})
        for group in by_recipe.values()
    ]


def difference(a: Tested, b: Tested, split: str, normalised: Normalised) -> Paired:
    """Return the error rate of A minus that of B with its interval, over seeds and utterances.

    Raises:
        StoreError: transcripts that cannot be read, or were made from different data.
    """
    scores_a, scores_b = (by_seed(one, split, normalised) for one in (a, b))
    check_paired([*scores_a, *scores_b])
    errors = [np.stack([one.main.errors for one in scores]) for scores in (scores_a, scores_b)]
    return paired_over_seeds(errors[0], errors[1], scores_a[0].main.lengths, RESAMPLES)


def by_seed(tested: Tested, split: str, normalised: Normalised) -> list[Scored]:
    """Return an entry's scores on one split, by seed."""
    return [scored(tested.records[seed], split, normalised) for seed in sorted(tested.records)]


def final(
    spec: StudySpec,
    point: Point,
    study: optuna.Study,
    found: Sequence[Parameter],
    run: Path,
    *,
    workers: int | None,
    quiet: bool,
) -> dict[str, Any] | None:
    """Test the best trial (of several objectives: the front) beside the default and dense, and return what came out.

    None where the spec has no test, or no trial is feasible.
    """
    chosen = best_trials(study)
    if spec.test is None or not chosen:
        return None
    default = {one.name: one.default for one in found}
    entries = [dense_entry(spec, point), entry(spec, point, "default", found, default)]
    entries += [entry(spec, point, f"trial {one.number}", found, one.params) for one in chosen]
    tested = test(entries, run, workers=workers, quiet=quiet)
    remember(study)
    return outcome(spec, tested, None if len(spec.objectives) > 1 else f"trial {chosen[0].number}")


def remember(study: optuna.Study) -> list[int]:
    """Keep with the study after how many trials it was tested, and return all such numbers.

    A study may go on, and be tested again: then its choice was made by who could have seen the first test.
    """
    now = len(settled(study.get_trials(deepcopy=False)))
    seen: list[int] = sorted({*study.user_attrs.get(TESTED, []), now})
    study.set_user_attr(TESTED, seen)
    return seen


def outcome(spec: StudySpec, tested: Sequence[Tested], chosen: str | None) -> dict[str, Any]:
    """Return what came out of a test: of dense, the default and the best, or of a front; in this order.

    The p-values of a front are corrected for the number of its trials, for any of them could be shown.
    """
    assert spec.test is not None
    normalised = Normalised(spec.normalizer)
    split = next(iter(spec.test.splits))
    entries = [_told(one, tested[1], split, normalised) for one in tested]
    if chosen is None:
        gains = [one["difference"] for one in entries[2:] if "difference" in one]
        for gain, p in zip(gains, holm([gain["p"] for gain in gains]), strict=True):
            gain["p_holm"] = float(p)
    return {
        "split": split,
        "seeds": list(spec.test.seeds),
        "resamples": RESAMPLES,
        "steps": spec.training.steps,
        "entries": entries,
        "best": chosen,
    }


def _told(one: Tested, default: Tested, split: str, normalised: Normalised) -> dict[str, Any]:
    """Return what a report says of one entry: rates by seed, and the difference to the default."""
    said: dict[str, Any] = {"name": one.entry.name, "cells": list(one.entry.cells.values()), "failure": one.failure}
    if not one.ok:
        return said
    scores = by_seed(one, split, normalised)
    rates = [score.main.rate for score in scores]
    said |= {
        "rates": rates,
        "mean": float(np.mean(rates)),
        "metric": scores[0].metric,
        "signature": scores[0].signature,
        "utterances": len(scores[0].ids),
    }
    if one is not default and default.ok:
        said["difference"] = asdict(difference(one, default, split, normalised))
    return said


def best_trials(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Return the best feasible trial, or (several objectives) up to ``FRONT`` of the front, evenly along it."""
    found = best(study.directions, study.get_trials(deepcopy=False))
    places = np.linspace(0, len(found) - 1, min(FRONT, len(found))).round().astype(int)
    return [found[place] for place in np.unique(places)]
