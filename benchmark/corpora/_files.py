"""Files of corpora as they are downloaded: lists in UTF-8, and archives that are unpacked once into the cache."""

from __future__ import annotations

import gzip
import hashlib
import logging
import lzma
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path

from filelock import FileLock

from benchmark.corpora._cache import VARIABLE, cache_folder, stamp
from benchmark.errors import DataError

_BUFFER = 1 << 20
log = logging.getLogger(__name__)
_BROKEN = (tarfile.TarError, EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)


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


def unpacked(archive: Path) -> Path:
    """Return a folder with the files of a tar archive (of any compression), by their names without folders.

    It is unpacked into the user's cache once until it changes, by one process; what was unpacked in part is never seen.

    Raises:
        DataError: the archive cannot be read, is cut off or broken, or there is no room for it.
    """
    try:
        key = f"{archive.resolve()}\n{stamp(archive.stat())}"
        home = cache_folder() / "unpacked"
        folder = home / hashlib.sha256(key.encode()).hexdigest()[:24]
        if folder.is_dir():
            return folder
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.is_dir():  # another process may have made it while this one waited
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


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack all plain files beside ``folder`` and rename: the folder is there as a whole or not at all."""
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                source = tar.extractfile(member) if member.isfile() else None
                if source is not None:
                    with source, (made / Path(member.name).name).open("xb") as file:
                        shutil.copyfileobj(source, file, _BUFFER)
            while tar.fileobj is not None and tar.fileobj.read(_BUFFER):  # to the checksum, which comes last
                pass
        made.rename(folder)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
