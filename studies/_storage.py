"""Where the trials of a study are coordinated: a journal file beside the runs, SQLite, or PostgreSQL.

Results are records in the run folder; a storage holds who works on what, and can be made anew from records.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage

from benchmark.errors import PrunebenchError, SpecError, StoreError
from studies._journal import JournalFile
from studies._locks import DatabaseLock
from studies._spec import StorageSpec

if TYPE_CHECKING:
    from sqlalchemy import Engine

JOURNAL = "journal.log"
CONNECT_SECONDS = 10
SILENCE_SECONDS = 60
"""How long a database may say nothing on an open connection until it counts as lost."""


class NoStudyError(StoreError):
    """A study, or the storage that would hold it, is not there: nothing is wrong with what is."""


def is_alone(settings: StorageSpec) -> bool:
    """Whether a storage is for one process (SQLite, which locks its whole file)."""
    return settings.url is not None and settings.url.startswith("sqlite")


@contextmanager
def alone(settings: StorageSpec) -> Iterator[None]:
    """Hold a storage that is for one process; any other is free to all.

    Raises:
        SpecError: another process holds it.
    """
    if not is_alone(settings):
        yield
        return
    path = _file_of(str(settings.url))
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise SpecError(
            f"storage {settings.url}: another process works with it, and SQLite is for one; wait for it, or take the "
            "journal file or PostgreSQL"
        ) from None
    except OSError as error:
        raise StoreError(f"storage {settings.url} cannot be used ({error.strerror})") from None
    try:
        yield
    finally:
        lock.release()


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
        return _postgres(settings, create)
    raise SpecError(
        f"storage {public(settings.url)}: known are sqlite:///FILE and postgresql://USER@HOST/DATABASE; leave it out "
        "for a journal file beside the runs"
    )


def public(url: str) -> str:
    """Return an address without its password."""
    url = re.sub(r"(://[^:/@?]*):.*@", r"\1:***@", url)  # to the last @: an unescaped one may be part of it
    return re.sub(r"([?&]password=)[^&]*", r"\1***", url)


def _journal(path: Path, create: bool) -> BaseStorage:
    if not create and not path.is_file():
        raise NoStudyError(f"{path}: no such file; no study was run in this folder (prunebench study run)")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFile(path))
    except OSError as error:
        raise StoreError(f"{path}: cannot be used ({error.strerror}); give a folder you may write to") from None
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:  # lines of something else
        raise StoreError(JournalFile.broken(path, error)) from None


def _file_of(url: str) -> Path:
    """Return the file of an SQLite address.

    Raises:
        SpecError: it names none.
    """
    found = re.match(r"sqlite(?:\+\w+)?:///([^?]+)", url)
    path = Path(found[1]) if found else Path()
    if not path.name or path.name == ":memory:":
        raise SpecError(f"storage {url}: give a file, e.g. sqlite:///studies.db")
    return path


def _sqlite(url: str, create: bool) -> BaseStorage:
    path = _file_of(url)
    if not path.parent.is_dir():
        raise StoreError(f"{path.parent}: no such folder; make it, or give another place for the storage")
    if path.exists() and not path.is_file():
        raise StoreError(f"{path}: not a file; give another place for the storage")
    if not create and not path.exists():
        raise NoStudyError(f"{path}: no such file; no study was run in this storage (prunebench study run)")
    with _reached(url):
        from sqlalchemy import create_engine

        engine = create_engine(url)
        try:
            _check_begun(engine, url, create)
        finally:
            engine.dispose()
        return RDBStorage(url)


class _Database(RDBStorage):
    """Optuna's, with a heart that misses a beat instead of stopping: how many may be missed is what grace is for."""

    def record_heartbeat(self, trial_id: int) -> None:
        """Say that a trial's worker lives; a database that is away for good is told by the next thing it is asked."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            super().record_heartbeat(trial_id)
        except (SQLAlchemyError, StorageInternalError) as error:
            warnings.warn(f"a sign of life did not reach the database: {_said(error)}", stacklevel=1)


def _postgres(settings: StorageSpec, create: bool) -> BaseStorage:
    assert settings.url is not None
    url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+psycopg://", settings.url)
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise SpecError(
            f"storage {public(settings.url)}: its driver is missing: pip install 'prunebench[postgres]'"
        ) from None
    connect = {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": SILENCE_SECONDS,
        "tcp_user_timeout": 1000 * SILENCE_SECONDS,
    }
    options: dict[str, Any] = {"connect_args": connect, "pool_pre_ping": True}
    with _reached(settings.url), warnings.catch_warnings():
        from sqlalchemy import create_engine

        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        engine = create_engine(url, **options)
        try:
            _check_begun(engine, settings.url, create)
            with DatabaseLock(engine, "tables"):  # of two that make the tables at once, one would fail
                return _Database(
                    url, engine_kwargs=options, heartbeat_interval=settings.heartbeat, grace_period=settings.grace
                )
        finally:
            engine.dispose()


def _check_begun(engine: Engine, url: str, create: bool) -> None:
    """Refuse to make tables where nothing is to be made.

    Raises:
        NoStudyError: the database is there, and holds no studies.
    """
    from sqlalchemy import inspect

    if not inspect(engine).has_table("studies") and not create:
        raise NoStudyError(f"storage {public(url)}: no study was run in it (prunebench study run)")


@contextmanager
def _reached(url: str) -> Iterator[None]:
    """Turn what a database says when it cannot be used into one line."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise StoreError(
            f"storage {public(url)} cannot be reached: {_said(error)}; is it running, and is the address right?"
        ) from None
    except ValueError as error:  # SQLAlchemy: a port that is no number
        raise SpecError(f"storage {public(url)}: not an address ({error})") from None
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
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except PrunebenchError:
        raise
    except Exception as error:
        # Optuna asks a lost storage again in its clean-up, and what comes out is the error of that: look behind it.
        behind = [one for one in _chain(error) if isinstance(one, (StorageInternalError, SQLAlchemyError, StoreError))]
        if not behind:
            raise
        if isinstance(behind[0], StoreError):
            raise StoreError(str(behind[0])) from None
        where = "the journal file" if settings.url is None else public(settings.url)
        raise StoreError(
            f"storage {where} does not answer any more: {_said(behind[0])}; records are kept, run the same again"
        ) from None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came out of."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _said(error: BaseException) -> str:
    """Return what a database said, in one line."""
    inner = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    return " ".join(str(getattr(inner, "orig", None) or inner).split())[:300]
