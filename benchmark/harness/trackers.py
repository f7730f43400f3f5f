"""Who is told of a Fit's loss while it trains. No tracker is imported before a Fit that reports to it begins."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from benchmark.errors import SpecError
from benchmark.specs import Tracker, Training

LOOKS = 200
"""How often a Fit tells its loss at most; each time waits for the GPU."""


def trackers(recipe: Training) -> list[Tracker]:
    """Return who is told: those that the recipe names, else TensorBoard where it is installed.

    Raises:
        SpecError: one that is named is not installed.
    """
    if recipe.report_to is None:
        return ["tensorboard"] if _installed("tensorboard") else []
    for name in recipe.report_to:
        if not _installed(name):
            raise SpecError(
                f"training.report_to: {name} is not installed; pip install 'prunebench[{name}]', or leave it out"
            )
    return list(dict.fromkeys(recipe.report_to))


def _installed(name: str) -> bool:
    try:
        found = find_spec(name)
    except ValueError:  # a module without a spec stands in its place
        return name in sys.modules
    return found is not None and found.origin is not None  # else it is a folder of that name, which W&B leaves about


@contextmanager
def logging_into(folder: Path | None, names: Collection[Tracker]) -> Iterator[None]:
    """Have trackers write below a folder for a while; where the user has said a place to MLflow or W&B, it counts."""
    if folder is None or not names:
        yield
        return
    # a data base, as MLflow takes no folder of files any more
    places = {"MLFLOW_TRACKING_URI": f"sqlite:///{(folder / 'mlflow.db').resolve()}", "WANDB_DIR": str(folder)}
    told = {**places, **{name: os.environ[name] for name in places if name in os.environ}}
    told["TENSORBOARD_LOGGING_DIR"] = str(folder)  # one folder a Fit, or their curves run into one another
    before = {name: os.environ.get(name) for name in told}
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(told)
    foreign = getattr(sys.modules.get("wandb"), "run", None)
    try:
        yield
    finally:
        for name, said in before.items():
            os.environ.pop(name)
            if said is not None:
                os.environ[name] = said
        wandb = sys.modules.get("wandb")  # not there where the Fit failed before it told anybody
        if "wandb" in names and wandb is not None and foreign is None:  # else the next Fit would go on with this run
            wandb.finish()
            wandb.teardown()  # else it keeps the folder of the first Fit for all others
