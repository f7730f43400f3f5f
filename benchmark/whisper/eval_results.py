"""`.eval_results/*.yaml`: scores in the form that a benchmark data set on the Hugging Face hub collects from models.

An entry there is a dataset's id, a task's id and a number (https://huggingface.co/docs/hub/eval-results). It has no
room for a metric, a split or a normaliser: what the number means is told by the dataset's own `eval.yaml`, where the
task is defined. So an entry is written only where that is so: the corpus says that its split is such a task, all of
the split was decoded, and metric and normaliser are those that the task is scored by. A corpus that is no dataset on
the hub (synthetic speech, a folder of one's own) gets none, for any id would be another's; its scores stand in the
card's `model-index`, which has room for all of it. There is never a ``verifyToken``: only the hub's own jobs sign one.

A corpus plug-in whose data are a benchmark on the hub says so by a class method::

    @classmethod
    def hub_task(cls, corpus: Mapping[str, Any], split: str) -> HubTask | None: ...

where ``corpus`` is what a cell's spec says of it (name, version, language, options).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from benchmark.errors import SpecError

if TYPE_CHECKING:
    from benchmark.whisper.card import Score

FOLDER = ".eval_results"
WHY_NOT = (
    "There is no `.eval_results/`: that form takes scores on tasks of benchmark data sets on the hub alone, in the "
    "task's own metric and normaliser, and these are none."
)


class HubTask(NamedTuple):
    """A task of a benchmark dataset on the hub, as its `eval.yaml` defines it."""

    dataset: str
    """E.g. ``owner/name``."""
    task: str
    metric: str
    """What the task is scored by: ``wer`` or ``cer``, in per cent."""
    normalizer: str
    """Name of the normaliser that gives the task's own texts, with all its rules on."""
    revision: str | None = None
    """Commit of the dataset, where the corpus is pinned to one."""


def task_of(plugin: type, corpus: Mapping[str, Any], split: str) -> HubTask | None:
    """Return the hub's task that a split of a corpus is; None where it is none, or only a part of it was used.

    Raises:
        SpecError: the plug-in names no dataset that could be on the hub.
    """
    asked = getattr(plugin, "hub_task", None)
    if asked is None or (corpus.get("evaluate") or {}).get(split) is not None:
        return None
    task: HubTask | None = asked(corpus, split)
    if task is None:
        return None
    try:
        validate_repo_id(task.dataset)
    except HFValidationError as error:
        raise SpecError(f"corpus {corpus.get('name')!r}: hub_task names {task.dataset!r}: {error}") from error
    if "/" not in task.dataset or not task.task:
        raise SpecError(f"corpus {corpus.get('name')!r}: hub_task names {task}; it needs owner/name and a task's id")
    return task


def entries(scores: Iterable[Score]) -> list[EvalResultEntry]:
    """Return what can be said of scores in this form; values in per cent."""
    return [
        EvalResultEntry(
            dataset_id=score.hub.dataset,
            task_id=score.hub.task,
            value=round(100 * score.rate, 4),
            dataset_revision=score.hub.revision,
            date=score.finished or None,
            notes=f"{score.metric.upper()} in per cent; {score.signature}; data {score.data_hash[:12]}",
        )
        for score in scores
        if score.hub is not None and _as_the_task_asks(score, score.hub)
    ]


def _as_the_task_asks(score: Score, task: HubTask) -> bool:
    _, normalizer, *_ = [*score.signature.split("|"), ""]  # name:version, and [option=...] where it is another one
    name, _, version = normalizer.partition(":")
    return (score.metric, name) == (task.metric, task.normalizer) and "[" not in version


def files(scores: Iterable[Score]) -> dict[str, str]:
    """Return the files to be written, by their place in a model's folder: one a dataset."""
    by_dataset: dict[str, list[EvalResultEntry]] = {}
    for entry in entries(scores):
        by_dataset.setdefault(entry.dataset_id, []).append(entry)
    return {
        f"{FOLDER}/{re.sub('[^A-Za-z0-9._-]', '-', dataset)}.yaml": yaml.safe_dump(
            eval_result_entries_to_yaml(found), allow_unicode=True, sort_keys=False
        )
        for dataset, found in by_dataset.items()
    }
