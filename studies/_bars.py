"""Progress of a study in the terminal: its trials with the best so far, and what each worker has in hand."""

from __future__ import annotations

import threading
from typing import Any

import optuna
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from studies._metrics import METRICS
from studies._outcomes import kind, settled
from studies._spec import Point, StudySpec


class TrialBars:
    """A bar over the trials, and one for each unit of work that is under way."""

    def __init__(self, spec: StudySpec, point: Point, quiet: bool) -> None:
        columns = (
            TextColumn("{task.description:<44}"),
            BarColumn(bar_width=26),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, disable=quiet, transient=False)
        self._spec, self._point, self._quiet = spec, point, quiet
        self._units: dict[str, Any] = {}
        self._best: float | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> TrialBars:
        self._progress.start()
        self._trials = self._progress.add_task(self._point.name, total=self._spec.trials)
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Change what the first bar says."""
        self._progress.update(self._trials, description=text)

    def begin(self, study: optuna.Study, note: str) -> None:
        """Show what is done already."""
        trials = study.get_trials(deepcopy=False)
        if note and not self._quiet:
            self._progress.console.print(f"note: {note}")
        for trial in trials:
            if kind(trial) == "complete":
                self._better(trial.values)
        self._progress.update(self._trials, description=self._title(), completed=len(settled(trials)))

    def event(self, event: dict[str, Any]) -> None:
        """Show what a worker reports."""
        with self._lock:
            if "ended" in event:
                self._better(event.get("values") or [])
                self._progress.update(self._trials, description=self._title(), advance=1)
                return
            name = event.get("unit") or event.get("done") or event.get("failed") or event.get("stopped") or ""
            if "unit" in event:
                if name not in self._units:
                    what = "evaluate" if len(name) == 16 else "train"  # a cell's id; a node's is longer
                    self._units[name] = self._progress.add_task(f"{what} {name[:8]}", total=event["of"])
                self._progress.update(self._units[name], completed=event["step"])
            elif name in self._units:
                self._progress.remove_task(self._units.pop(name))

    def _better(self, values: list[float]) -> None:
        if len(values) == 1:
            sign = 1 if self._spec.directions[0] == "minimize" else -1
            if self._best is None or sign * values[0] < sign * self._best:
                self._best = values[0]

    def _title(self) -> str:
        if self._best is None:
            return self._point.name
        name = self._spec.objectives[0]
        shown = f"{100 * self._best:.2f} %" if METRICS[name].percent else f"{self._best:.4g}"
        return f"{self._point.name}: best {name} {shown}"
