"""One at a time: the lock under which a study is made, and under which its next trial is taken."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from filelock import FileLock
from optuna.storages import BaseStorage, RDBStorage

from benchmark.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


class Lock(Protocol):
    """What file locks and database locks have in common."""

    @property
    def is_locked(self) -> bool:
        """Whether this object holds it."""

    def acquire(self) -> object:
        """Wait for it, and take it."""

    def release(self) -> None:
        """Give it back."""

    def __enter__(self) -> object:
        """Take it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> object:
        """Give it back."""


class DatabaseLock:
    """A name in a PostgreSQL database that one session at a time can hold; the server takes it back from the dead.

    It holds as long as its transaction, so that a pooler between here and the server does no harm.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._key = int.from_bytes(hashlib.sha256(f"prunebench {name}".encode()).digest()[:8], "big", signed=True)
        self._connection: Connection | None = None

    @property
    def is_locked(self) -> bool:
        """Whether this object holds it."""
        return self._connection is not None

    def acquire(self) -> None:
        """Wait for it, and take it."""
        from sqlalchemy import text

        connection = self._engine.connect()
        try:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": self._key})
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def release(self) -> None:
        """Give it back."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()  # rolls the transaction back

    def __enter__(self) -> Self:
        """Take it."""
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self.release()


def ask_lock(storage: BaseStorage, run: Path, study: str) -> Lock:
    """Return the lock under which a study is made and a trial is taken, so that no two workers take the last one.

    Workers on PostgreSQL may have run folders of their own: there the database holds it.
    """
    backend = getattr(storage, "_backend", storage)  # Optuna keeps a cache before a database
    if isinstance(backend, RDBStorage) and backend.engine.dialect.name == "postgresql":
        return DatabaseLock(backend.engine, f"study {study}")
    return FileLock(workers_folder(run, study) / "ask.lock")


def workers_folder(run: Path, study: str) -> Path:
    """Return the folder of a study's locks, made if it is not there.

    Raises:
        StoreError: it cannot be made.
    """
    folder = run / "studies" / study / "workers"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be made ({error.strerror}); give a folder you may write to") from None
    return folder
