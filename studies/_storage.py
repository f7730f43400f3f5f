"""Where the trials of a study are coordinated: a journal file beside the runs, SQLite, or PostgreSQL.

Results are records in the run folder; a storage holds who works on what, and can be made anew from records.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection

from benchmark.errors import SpecError, StoreError
from studies._spec import StorageSpec

ABOUT = "prunebench"
"""The study's attribute that says what its trials mean."""
JOURNAL = "journal.log"
CONNECT_SECONDS = 10
_SHOWN = 80


class NoStudyError(StoreError):
    """A study, or the storage that would hold it, is not there: nothing is wrong with what is."""


def is_alone(settings: StorageSpec) -> bool:
    """Whether a storage is for one process (SQLite, which locks its whole file)."""
    return settings.url is not None and settings.url.startswith("sqlite")


def retry_once() -> RetryHeartbeatStaleTrialCallback:
    """Return what puts the trial of a dead worker up again, once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return RetryHeartbeatStaleTrialCallback(max_retry=1)


def open_storage(settings: StorageSpec, run: Path, *, create: bool) -> BaseStorage:
    """Return the storage; without ``create`` nothing is made that is not there.

    Raises:
        NoStudyError: it is not there.
        StoreError: it cannot be reached or read.
        SpecError: an address of a kind that is not known, or whose driver is missing.
    """
    if settings.url is None:
        return _journal(run / "studies" / JOURNAL, create)
    kind = settings.url.partition(":")[0].partition("+")[0]
    if kind == "sqlite":
        return _sqlite(settings.url, create)
    if kind in ("postgresql", "postgres"):
        return _postgres(settings)
    raise SpecError(
        f"storage {public(settings.url)}: known are sqlite:///FILE and postgresql://USER@HOST/DATABASE; leave it out "
        "for a journal file beside the runs"
    )


def public(url: str) -> str:
    """Return an address without its password."""
    return re.sub(r"(//[^:/@]*):[^@]*@", r"\1:***@", url)


def _journal(path: Path, create: bool) -> BaseStorage:
    if not create and not path.is_file():
        raise NoStudyError(f"{path}: no such file; no study was run in this folder (prunebench study run)")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path)))
    except OSError as error:
        raise StoreError(f"{path}: cannot be used ({error.strerror}); give a folder you may write to") from None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}: broken ({type(error).__name__}: {error}); move it away, and prunebench study rebuild makes the "
            "study anew from its records"
        ) from None


def _sqlite(url: str, create: bool) -> BaseStorage:
    path = Path(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite:///") or not path.name or path.name == ":memory:":
        raise SpecError(f"storage {url}: give a file, e.g. sqlite:///studies.db")
    if not create and not path.is_file():
        raise NoStudyError(f"{path}: no such file; no study was run in this storage (prunebench study run)")
    if not path.parent.is_dir():
        raise StoreError(f"{path.parent}: no such folder; make it, or give another place for the storage")
    with _reached(url):
        return RDBStorage(url)


def _postgres(settings: StorageSpec) -> BaseStorage:
    assert settings.url is not None
    url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+psycopg://", settings.url)
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise SpecError(
            f"storage {public(settings.url)}: its driver is missing: pip install 'prunebench[postgres]'"
        ) from None
    with _reached(settings.url), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return RDBStorage(
            url,
            engine_kwargs={"connect_args": {"connect_timeout": CONNECT_SECONDS}, "pool_pre_ping": True},
            heartbeat_interval=settings.heartbeat,
            grace_period=settings.grace,
            heartbeat_stale_trial_callback=retry_once(),
        )


@contextmanager
def _reached(url: str) -> Iterator[None]:
    """Turn what a database says when it cannot be used into one line."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        said = " ".join(str(getattr(error, "orig", None) or error).split())
        raise StoreError(
            f"storage {public(url)} cannot be reached: {said[:300]}; is it running, and is the address right?"
        ) from None
    except RuntimeError as error:  # Optuna: the tables are of another version
        raise StoreError(f"storage {public(url)} is of another Optuna: {' '.join(str(error).split())[:300]}") from None
    except OSError as error:
        raise StoreError(f"storage {public(url)} cannot be used ({error.strerror})") from None


@contextmanager
def answering(settings: StorageSpec) -> Iterator[None]:
    """Turn a storage that is lost while a study runs into one line.

    Raises:
        StoreError: the storage does not answer any more.
    """
    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        where = "the journal file" if settings.url is None else public(settings.url)
        said = " ".join(str(error.__cause__ or error).split())[:300]
        raise StoreError(f"{where} does not answer any more: {said}; records are kept, run the same again") from None


# --- studies ------------------------------------------------------------------------------------------------------


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

    Optuna itself would go on with whatever a study of that name was about.

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
        if study.get_trials(deepcopy=False) and not create:
            raise SpecError(f"study {name!r} was not made by prunebench; give the spec another name")
        study.set_user_attr(ABOUT, meant)  # of two that make it at once, both write what they mean, and read it again
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
    real = [direction.name.lower() for direction in study.directions]
    for key in sorted({*meant, *there}, key=lambda key: (key == "spec", key)):  # the hash last: the others say more
        old, new = there.get(key), meant.get(key)
        old = real if key == "directions" else old
        if old != new:
            said = f"{key}: {_shown(old, new)} there, {_shown(new, old)} asked for"
            raise SpecError(
                f"there is a study {study.study_name!r} of another meaning ({said}); give the spec another name, or "
                "another folder"
            )


def _shown(value: Any, other: Any) -> str:
    """Return a value in few words; of mappings only what differs."""
    if isinstance(value, dict) and isinstance(other, dict):
        value = {key: value.get(key) for key in {*value, *other} if value.get(key) != other.get(key)}
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
