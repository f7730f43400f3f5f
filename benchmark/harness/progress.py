"""Progress of a run in the terminal: its cells, and what each worker has in hand."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmark.harness.tree import Tree
from benchmark.store.records import finished


class Bars:
    """A bar over the cells, one over the training steps, and one for each unit that is under way."""

    def __init__(self, tree: Tree, folder: Path, quiet: bool) -> None:
        columns = (
            TextColumn("{task.description:<34}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, disable=quiet, transient=False)
        self._tree, self._folder = tree, folder
        self._labels = {path.cell.id: f"evaluate {path.cell.method.name} {path.cell.budget}" for path in tree.cells}
        for name in tree.nodes:
            methods = sorted({path.cell.method.name for path in tree.users[name]})
            self._labels[name] = f"train {methods[0] if len(methods) == 1 else 'shared trunk'}"
        self._units: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Bars:
        self._progress.start()
        done = sum(finished(self._folder, path.cell.id) is not None for path in self._tree.cells)
        self._cells = self._progress.add_task("cells", total=len(self._tree.cells), completed=done)
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Change what the first bar says."""
        self._progress.update(self._cells, description=text)

    def event(self, event: dict[str, Any]) -> None:
        """Show what a worker reports."""
        with self._lock:
            name = event.get("unit") or event.get("done") or event.get("failed") or event.get("stopped") or ""
            if "unit" in event:
                if name not in self._units:
                    label = self._labels.get(name, name)
                    self._units[name] = self._progress.add_task(label, total=event["of"])
                self._progress.update(self._units[name], completed=event["step"])
                return
            if name in self._units:
                self._progress.remove_task(self._units.pop(name))
            if name not in self._tree.nodes:
                self._progress.advance(self._cells)
