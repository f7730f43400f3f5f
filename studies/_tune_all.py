"""Equal tuning: every method gets the same trials, and its best one meets the test split once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna

from benchmark.cli._flow import ScoresLeftOutError, report_table, say_left_out, say_written
from benchmark.errors import SpecError
from benchmark.measure.multiple import holm
from benchmark.measure.scores import Normalised
from benchmark.search import Parameter
from studies._final import (
    RESAMPLES,
    Tested,
    best_trials,
    boards,
    by_seed,
    dense_entry,
    difference,
    entry,
    outcome,
    remember,
    test,
)
from studies._outcomes import settled
from studies._run import checked, run_study
from studies._spec import Point, StudySpec
from studies._tables import interval, markdown_table, resampled

if TYPE_CHECKING:
    import pandas as pd

TUNED = "tuned"


@dataclass(frozen=True)
class Winner:
    """A study that is done, its best trial, and both configurations on the test split."""

    point: Point
    trials: int
    best: optuna.trial.FrozenTrial
    default: Tested
    tuned: Tested
    before: list[int]
    """After how many trials it was tested before, and went on."""


def tune_all(spec: StudySpec, run: Path, *, workers: int | None, quiet: bool) -> int:
    """Tune every method of the spec at every kept fraction, test the best ones, and write the tuned leaderboard.

    All studies have the same number of trials, and all trials the same number of training steps. Returns 1 where a
    study found nothing feasible or a test cell failed, else 0.

    Raises:
        PrunebenchError: a wrong spec, or what a study runs into.
    """
    from studies._report import write_study

    if len(spec.objectives) > 1 or spec.test is None:
        raise SpecError("tune-all picks one best trial a method: it needs one objective, and splits under test")
    spaces = {point.name: checked(spec, point) for point in spec.points()}  # all, before the first is begun
    studies = {}
    for point in spec.points():
        studies[point.name] = run_study(spec, point, run, workers=workers, quiet=quiet)
    empty = [name for name, study in studies.items() if not best_trials(study)]
    winners, dense = _tested(spec, studies, spaces, run, workers=workers, quiet=quiet)
    ended = {win.point.name: outcome(spec, [dense, win.default, win.tuned], win.tuned.entry.name) for win in winners}
    for point in spec.points():
        write_study(studies[point.name], spec, point.folder(run), final=ended.get(point.name))
    table = comparison(spec, winners)
    folder = run / TUNED
    compared = write_comparison(spec, table, folder)
    left_out: list[str] = []
    try:
        written = report_table(_frame(spec, run, winners, dense, quiet=quiet), folder)
    except ScoresLeftOutError as error:
        written, left_out = error.written, error.faults
    say_written([*compared, *written])
    say_left_out(left_out)
    for name in empty:
        print(f"study {name}: no trial is feasible; it has no row. See {run / 'studies' / name / 'study.md'}")
    parts = [("dense", dense)]
    parts += [(f"{win.point.name}, {one.entry.name}", one) for win in winners for one in (win.default, win.tuned)]
    failed = [(name, one.failure) for name, one in parts if not one.ok]
    for name, failure in failed:
        print(f"test of {name} failed: {failure}")
    return 1 if empty or failed or left_out else 0


def _tested(
    spec: StudySpec,
    studies: dict[str, optuna.Study],
    spaces: dict[str, list[Parameter]],
    run: Path,
    *,
    workers: int | None,
    quiet: bool,
) -> tuple[list[Winner], Tested]:
    points = [point for point in spec.points() if best_trials(studies[point.name])]
    entries = [dense_entry(spec, spec.points()[0])]
    for point in points:
        found, study = spaces[point.name], studies[point.name]
        default = {one.name: one.default for one in found}
        best = best_trials(study)[0]
        entries.append(entry(spec, point, "default", found, default))
        entries.append(entry(spec, point, f"trial {best.number}", found, best.params))
    tested = test(entries, run, workers=workers, quiet=quiet)
    winners = [
        Winner(
            point,
            len(settled(studies[point.name].get_trials(deepcopy=False))),
            best_trials(studies[point.name])[0],
            tested[1 + 2 * place],
            tested[2 + 2 * place],
            remember(studies[point.name])[:-1],
        )
        for place, point in enumerate(points)
    ]
    return winners, tested[0]


def comparison(spec: StudySpec, winners: Sequence[Winner]) -> pd.DataFrame:
    """Return one row a method and kept fraction: default and tuned on test, and what tuning gained, with intervals.

    Rates are means over seeds, in per cent; the difference is tuned minus default, in points, with its 95 % interval
    over seeds and utterances. Failed tests have no numbers.
    """
    import pandas as pd

    assert spec.test is not None
    split, normalised = next(iter(spec.test.splits)), Normalised(spec.normalizer)
    rows = []
    for win in winners:
        row: dict[str, Any] = {
            "method": win.point.method.title,
            "budget": str(win.point.budget),
            "trials": win.trials,
            "steps a trial": spec.training.steps,
            f"best {spec.objectives[0]} on {spec.tune.split}": win.best.values[0],
        }
        for name, one in (("default", win.default), ("tuned", win.tuned)):
            rates = [score.main.rate for score in by_seed(one, split, normalised)] if one.ok else [float("nan")]
            row[f"{name} % on {split}"] = 100 * float(np.mean(rates))
            row[f"{name} lowest"], row[f"{name} highest"] = 100 * min(rates), 100 * max(rates)
        if win.default.ok and win.tuned.ok:
            gain = difference(win.tuned, win.default, split, normalised)
            row |= {"difference": 100 * gain.difference, "lo": 100 * gain.lo, "hi": 100 * gain.hi, "p": gain.p}
        row["parameters"] = ", ".join(f"{key}={_short(value)}" for key, value in win.best.params.items())
        rows.append(row)
    by = [f"tuned % on {split}"] if rows else []
    table = pd.DataFrame(rows)
    if "p" in table:
        table["p corrected"] = holm(table["p"].tolist())
    table = table.sort_values(["budget", *by], ascending=[False, *(True for _ in by)]) if rows else table
    table.attrs = {"resamples": RESAMPLES, "seeds": list(spec.test.seeds)}
    table.attrs["before"] = {win.point.name: win.before for win in winners if win.before}
    return table


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def told(table: pd.DataFrame, split: str) -> list[dict[str, str]]:
    """Return the rows of ``comparison`` as a reader wants them: one cell a number with its range."""
    rows = []
    for _, row in table.iterrows():
        gained = np.isfinite(row.get("difference", float("nan")))
        rows.append(
            {
                "method": row["method"],
                "budget": row["budget"],
                "trials": str(row["trials"]),
                f"default, {split} %": _spread(row, "default", split),
                f"tuned, {split} %": _spread(row, "tuned", split),
                "tuned − default [95 %]": interval(row["difference"] / 100, row["lo"] / 100, row["hi"] / 100)
                if gained
                else "–",
                "p": f"{row['p corrected']:.3g}" if gained else "–",
                "what was chosen": row["parameters"],
            }
        )
    return rows


def _spread(row: pd.Series, name: str, split: str) -> str:
    rate = row[f"{name} % on {split}"]
    return (
        f"{rate:.2f} ({row[f'{name} lowest']:.2f} to {row[f'{name} highest']:.2f})" if np.isfinite(rate) else "failed"
    )


def write_comparison(spec: StudySpec, table: pd.DataFrame, folder: Path) -> list[Path]:
    """Print the comparison, write it as CSV and Markdown, and return the paths."""
    from benchmark.cli._tables import print_table
    from benchmark.store.files import write_atomically

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "comparison.csv", folder / "comparison.md"]
    assert spec.test is not None
    rows = told(table, next(iter(spec.test.splits)))
    said = title(spec, table)
    shown = markdown_table(tuple(rows[0]), [tuple(row.values()) for row in rows]) if rows else "No row."
    write_atomically(paths[0], table.to_csv(index=False).encode())
    write_atomically(paths[1], f"{said}\n\n{shown}\n".encode())
    print(f"\n{said}\n")
    if rows:
        print_table(tuple(rows[0]), [tuple(row.values()) for row in rows], whole=tuple(rows[0])[:-1])
        print()
    return paths


def title(spec: StudySpec, table: pd.DataFrame) -> str:
    """Return what the comparison is, and what it does not say."""
    assert spec.test is not None
    seeds = len(spec.test.seeds)
    said = (
        f"Tuned and default on {next(iter(spec.test.splits))}: {spec.trials} trials a method, {spec.training.steps} "
        f"training steps a trial, chosen by {spec.objectives[0]} on {spec.tune.split}; mean and range of {seeds} "
        f"seed(s), differences with 95 % intervals ({RESAMPLES:,} paired resamples of {resampled(seeds)}), p corrected "
        "over the rows (Holm), intervals not. Dense is not tuned: it has the recipe of the spec."
    )
    for name, earlier in table.attrs["before"].items():
        said += f" {name} was tested before, after {' and '.join(map(str, earlier))} trials, and went on."
    return said


def _frame(spec: StudySpec, run: Path, winners: Sequence[Winner], dense: Tested, *, quiet: bool) -> pd.DataFrame:
    """Return the scored frame of the tuned cells and dense, timed, as one leaderboard.

    Each method has the learning rate that its study chose: the recipes differ in nothing else, and are one race here.
    """
    from benchmark.harness import run as harness
    from benchmark.store.frame import frame
    from benchmark.store.scoring import add_scores

    shown = [dense, *(win.tuned for win in winners)]
    for merged in boards([one.entry for one in shown]):
        harness.profile(run, merged.model_copy(update={"profile": spec.profile}), quiet=quiet)
    records = {record.cell: record for one in shown for record in one.records.values()}
    table = frame(run, cells=set(records))
    titles = {cell: win.point.method.title for win in winners for cell in win.tuned.entry.cells.values()}
    table["label"] = [f"{titles[cell]}, tuned" if cell in titles else f"{name}, not tuned"
                      for cell, name in zip(table["cell"], table["label"], strict=True)]  # fmt: skip
    table["recipe"] = TUNED
    return add_scores(table, records, spec.normalizer)
