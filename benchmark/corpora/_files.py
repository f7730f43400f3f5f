"""Files of corpora as they are downloaded: lists in UTF-8, and archives that are unpacked once into the cache."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import lzma
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmark.corpora._cache import VARIABLE, cache_folder, stamp, sweep, temporary, write_atomically
from benchmark.errors import DataError

_BUFFER = 1 << 20
log = logging.getLogger(__name__)
_BROKEN = (tarfile.TarError, EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)


def option_path(corpus: str, named: str, option: str = "path") -> Path:
    """Return the path that an option names, with ``~`` for a home; whether anything is there is not asked.

    Raises:
        DataError: it is no name that a file can have, or below what may not be looked into.
    """
    try:
        path = Path(named).expanduser()
        path.exists()
    except (OSError, RuntimeError) as error:
        said = getattr(error, "strerror", None) or error
        raise DataError(
            f"corpus {corpus}: {named!r:.80} cannot be looked for ({said}); check the option {option}"
        ) from error
    return path


def read_text(path: Path) -> str:
    """Return a text file's content, without a byte order mark.

    Raises:
        DataError: the file cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines that hold something, with their numbers from 1; only line feeds (and CR LF) end a line.

    Raises:
        DataError: as ``read_text``.
    """
    lines = (line.removesuffix("\r") for line in read_text(path).split("\n"))
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a file with one JSON object a line, with the numbers of their lines.

    Raises:
        DataError: as ``read_text``, or a line that is no object, or holds what cannot be kept (half a character).
    """
    for line, text in numbered_lines(path):
        try:
            row = json.loads(text)
            if "\\ud" in text.lower():  # half of a pair that stands for one character; the other half may be there
                json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = error.object[error.start]
            raise DataError(f"{path}, line {line}: holds half a character ({half!a}); write it whole") from error
        except (ValueError, RecursionError) as error:  # numbers of thousands of digits are no JSONDecodeError
            said = getattr(error, "msg", str(error).partition(":")[0])
            raise DataError(f"{path}, line {line}: not JSON ({said}); write one object a line") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {line}: not a JSON object; write one object a line")
        yield line, row


def unpacked(archive: Path) -> Path:
    """Return a folder with the files of a tar archive (of any compression), by their names without folders.

    It is unpacked into the user's cache once until it changes, by one process; what was unpacked in part is never seen,
    and where something was tidied away since, it is unpacked again.

    Raises:
        DataError: the archive cannot be read, is cut off or broken, or there is no room for it.
    """
    try:
        key = f"{archive.resolve()}\n{stamp(archive.stat())}"
        home = cache_folder() / "unpacked"
        folder = home / hashlib.sha256(key.encode()).hexdigest()[:24]
        if _is_whole(folder):
            return folder
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not _is_whole(folder):  # another process may have made it while this one waited
                sweep(home, temporary(folder), temporary(_list_of(folder)))
                log.info("unpacking %s into %s", archive, folder)
                _unpack(archive, folder)
    except _BROKEN as error:
        reason = "it is no tar" if "\n" in str(error) else error  # tarfile lists all that it tried
        raise DataError(f"{archive}: archive is cut off or broken ({reason}); fetch it again") from error
    except FileExistsError as error:
        name = Path(error.filename).name
        raise DataError(f"{archive}: holds two files called {name}; unpack it yourself") from error
    except OSError as error:
        said = error.strerror or error
        raise DataError(
            f"{archive}: cannot be unpacked into {cache_folder()} ({said}); unpack it yourself, or point {VARIABLE} to "
            "a folder with room"
        ) from error
    return folder


def _is_whole(folder: Path) -> bool:
    """Whether a folder holds all that was unpacked into it, and nothing of it was cut off."""
    try:
        listed = json.loads(_list_of(folder).read_bytes())
        return bool(listed == {file.name: file.stat().st_size for file in os.scandir(folder)})
    except (OSError, ValueError):
        return False


def _list_of(folder: Path) -> Path:
    """Return the file beside a folder that lists names and sizes of its files."""
    return folder.with_suffix(".json")


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack all plain files beside ``folder`` and rename: the folder is there as a whole or not at all."""
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=temporary(folder)))
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                source = tar.extractfile(member) if member.isfile() else None
                if source is not None:
                    with source, (made / Path(member.name).name).open("xb") as file:
                        shutil.copyfileobj(source, file, _BUFFER)
            while tar.fileobj is not None and tar.fileobj.read(_BUFFER):  # to the checksum, which comes last
                pass
        listed = json.dumps({file.name: file.stat().st_size for file in os.scandir(made)}).encode()
        if folder.exists():
            folder.rename(made.with_name(f"{made.name}-old"))
            shutil.rmtree(made.with_name(f"{made.name}-old"), ignore_errors=True)
        write_atomically(_list_of(folder), lambda file: file.write(listed))
        made.rename(folder)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
