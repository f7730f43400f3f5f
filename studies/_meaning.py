"""A study by its name, if it means what is asked for: Optuna itself would go on with whatever one of that name was."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from benchmark.errors import SpecError
from studies._storage import NoStudyError

_HASHES = ("plain cell", "spec")
ABOUT = "prunebench"
"""The study's attribute that says what its trials mean."""
_SHOWN = 80


def open_study(
    storage: BaseStorage,
    name: str,
    directions: Sequence[str],
    attrs: Mapping[str, Any],
    *,
    create: bool,
    sampler: optuna.samplers.BaseSampler | None = None,
    pruner: optuna.pruners.BasePruner | None = None,
) -> optuna.Study:
    """Return the study of that name, if it means what ``attrs`` and ``directions`` say; make it if it is not there.

    Optuna itself would go on with whatever a study of that name was about. With ``create``, only for who holds
    ``ask_lock``: of two that make a study at once, the second must see what the first one means.

    Raises:
        SpecError: a study of that name that means something else.
        NoStudyError: there is none, and ``create`` is not set.
    """
    meant = json.loads(json.dumps({**attrs, "directions": list(directions)}))
    try:
        study = optuna.load_study(study_name=name, storage=storage, sampler=sampler, pruner=pruner)
    except KeyError:
        if not create:
            known = sorted(optuna.get_all_study_names(storage))
            said = f"it holds {', '.join(known)}" if known else "it holds none"
            raise NoStudyError(f"no study {name!r} in this storage ({said}); begin it: prunebench study run") from None
        study = _created(storage, name, directions, sampler, pruner)
    if ABOUT not in study.user_attrs:
        if not create and not study.get_trials(deepcopy=False):
            raise NoStudyError(f"study {name!r} is only just being made; look again, or run it: prunebench study run")
        if study.get_trials(deepcopy=False) or _directions(study) != meant["directions"]:
            raise SpecError(f"study {name!r} was not made by prunebench; give the spec another name")
        study.set_user_attr(ABOUT, meant)
    _check_same(study, meant)
    return study


def _created(
    storage: BaseStorage,
    name: str,
    directions: Sequence[str],
    sampler: optuna.samplers.BaseSampler | None,
    pruner: optuna.pruners.BasePruner | None,
) -> optuna.Study:
    try:
        return optuna.create_study(
            storage=storage,
            study_name=name,
            directions=[StudyDirection[one.upper()] for one in directions],
            sampler=sampler,
            pruner=pruner,
        )
    except optuna.exceptions.DuplicatedStudyError:  # another worker was quicker
        return optuna.load_study(study_name=name, storage=storage, sampler=sampler, pruner=pruner)


def _check_same(study: optuna.Study, meant: Mapping[str, Any]) -> None:
    """Refuse a study that means something else.

    Raises:
        SpecError: its directions, space, split or anything else that its values hang on differ.
    """
    there: dict[str, Any] = study.user_attrs.get(ABOUT) or {}
    real = _directions(study)
    for key in sorted({*meant, *there}, key=lambda key: (key in _HASHES, key)):  # hashes last: others say more
        old, new = there.get(key), meant.get(key)
        old = real if key == "directions" else old
        if old != new:
            said = f"{key}: {_shown(old, new)} there, {_shown(new, old)} asked for"
            raise SpecError(
                f"there is a study {study.study_name!r} of another meaning ({said}); give the spec another name, or "
                "another folder or storage"
            )


def _directions(study: optuna.Study) -> list[str]:
    return [direction.name.lower() for direction in study.directions]


def _shown(value: Any, other: Any) -> str:
    """Return a value in few words; of mappings only what differs."""
    if isinstance(value, dict) and isinstance(other, dict):
        value = {key: value.get(key) for key in {*value, *other} if value.get(key) != other.get(key)}
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
