"""What the bar of a study calls its best trial."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from benchmark.reading import parse_as
from studies._bars import TrialBars
from studies._spec import StudySpec


def bars(**changes: Any) -> TrialBars:
    data = {"methods": ["sgl_adaptive"], "budget": "prunable_stored", "keep": [0.5], **changes}
    spec = parse_as(StudySpec, data, "a test")
    return TrialBars(spec, spec.points()[0], quiet=True)


def add(study: optuna.Study, value: float, state: TrialState = TrialState.COMPLETE, **more: Any) -> None:
    told = {"intermediate_values": {20: value}} if state == TrialState.PRUNED else {}
    place: dict[str, Any] = {"params": {"alpha": 0.5}, "distributions": {"alpha": FloatDistribution(0, 1)}}
    study.add_trial(create_trial(state=state, value=value, **place, **told, **more))


def title(shown: TrialBars) -> str:
    (task,) = shown._progress.tasks
    return task.description


def test_the_best_of_what_was_done_before_is_feasible_and_finished() -> None:
    study = optuna.create_study()
    add(study, 0.3)
    add(study, 0.01, TrialState.PRUNED)
    add(study, 0.02, constraints={"bytes": 1.0})
    with bars() as shown:
        shown.begin(study, "")
        assert title(shown).endswith(": best error 30.00 %")
        assert shown._progress.tasks[0].completed == 3


@pytest.mark.parametrize(("values", "said"), [([0.2], "best error 20.00 %"), ([0.4], "30.00 %"), (None, "30.00 %")])
def test_a_trial_that_ends_counts_where_it_has_values_that_count(values: list[float] | None, said: str) -> None:
    study = optuna.create_study()
    add(study, 0.3)
    with bars() as shown:
        shown.begin(study, "")
        shown.event({"ended": 1, "state": "COMPLETE" if values else "PRUNED", "values": values})
        assert title(shown).endswith(said)
        assert shown._progress.tasks[0].completed == 2
