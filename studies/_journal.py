"""Optuna's journal file, with errors in one line and no harm from a line that a crash cut off."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import IO, Any

from filelock import FileLock
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock, get_lock_file

from benchmark.errors import StoreError

_BLOCK = 1 << 16


class KernelLock(BaseJournalFileLock):
    """What Optuna's links do, by a lock that a dead process gives back.

    A link stays, and Optuna takes it away after half a minute in which everybody waits.
    """

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path.with_name(path.name + ".flock"))

    def acquire(self) -> bool:
        """Wait for it, and take it."""
        self._lock.acquire(poll_interval=0.005)
        return True

    def release(self) -> None:
        """Give it back."""
        self._lock.release()


class JournalFile(JournalFileBackend):
    """A journal file whose last line may be torn (a full disk, a power cut): nobody has read it, and it is dropped.

    Optuna leaves it there; the next line would be written onto its end, and both be lost, and all that follow.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), KernelLock(path))
        self._path = path

    @staticmethod
    def broken(path: Path, error: BaseException) -> str:
        """Return what to say of a journal that cannot be read."""
        return (
            f"{path}: broken ({type(error).__name__}: {error}); move it away, and prunebench study rebuild makes the "
            "study anew from its records"
        )

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield what was written from a line on.

        Raises:
            StoreError: the file is gone or broken.
        """
        logs = super().read_logs(log_number_from)
        while True:
            try:
                log = next(logs)
            except StopIteration:
                return
            except ValueError as error:
                raise StoreError(self.broken(self._path, error)) from None
            except OSError as error:
                raise StoreError(f"{self._path}: cannot be read ({error.strerror})") from None
            yield log

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write lines at the end.

        Raises:
            StoreError: the file cannot be written.
        """
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        try:
            with get_lock_file(self._lock):
                with self._path.open("r+b") as file:
                    end = _end_of_lines(file)
                    if end < file.seek(0, os.SEEK_END):
                        file.truncate(end)
                with self._path.open("ab") as file:
                    file.write(lines.encode())
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be written ({error.strerror}); records are kept") from None


def _end_of_lines(file: IO[bytes]) -> int:
    """Return where the last whole line of a file ends."""
    place = file.seek(0, os.SEEK_END)
    while place > 0:
        begin = max(0, place - _BLOCK)
        file.seek(begin)
        found = file.read(place - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        place = begin
    return 0
