"""A tar archive read without unpacking it: its lists are kept in the cache, its clips are read by their offset.

A plain tar is read where it lies. A compressed one has no offsets: the clips that are asked for are copied, in one
pass, into one file in the cache (a pack), from which they are read by offset.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from filelock import FileLock

from benchmark.corpora._cache import VARIABLE, cache_folder, stamp, sweep, write_atomically
from benchmark.errors import DataError

log = logging.getLogger(__name__)
CLIPS = "clips"
_FILES = "files"
_GZIP = b"\x1f\x8b"
_BUFFER = 1 << 20
_BLOCK = 512  # bytes; an archive ends with blocks of zeros
_BROKEN = (EOFError, tarfile.TarError, zlib.error, gzip.BadGzipFile)


@dataclass(frozen=True)
class Piece:
    """A clip: where its bytes are. Calling it reads them."""

    path: Path
    offset: int
    size: int

    def __call__(self) -> bytes:
        """Return the bytes.

        Raises:
            DataError: the file ends before they do.
        """
        with self.path.open("rb") as file:
            file.seek(self.offset)
            raw = file.read(self.size)
        if len(raw) < self.size:
            raise DataError(f"{self.path}: is shorter than it was; run it again, after fetching it anew if it is yours")
        return raw


@dataclass(frozen=True)
class Absent:
    """A clip that is in no archive: to call it is to find it missing."""

    name: str

    def __call__(self) -> bytes:
        """Find it missing.

        Raises:
            FileNotFoundError: always.
        """
        raise FileNotFoundError(self.name)


class Archive:
    """A tar, plain or compressed by gzip, that holds folders with lists (``*.tsv``) and a folder ``clips`` each.

    The first reading goes through the whole archive, once until it changes.

    Raises:
        DataError: not such an archive, or it is cut off or broken.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            about = path.stat()
            with path.open("rb") as file:
                self._compressed = file.read(2) == _GZIP
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        self.stamp = stamp(about)
        key = hashlib.sha256(f"{path.resolve()}\n{self.stamp}".encode()).hexdigest()[:24]
        self._home = cache_folder() / "archives" / key
        self._index: dict[str, Any] = self._made("index.json", self._look_through)

    @property
    def folders(self) -> dict[str, list[str]]:
        """Folders that hold lists, with the names of these (without ``.tsv``)."""
        return {folder: sorted(lists) for folder, lists in sorted(self._index["lists"].items())}

    def list_path(self, folder: str, name: str) -> Path:
        """Return where a list was put."""
        return self._home / self._index["lists"][folder][name]

    def clips(self, folder: str, pack: str, wanted: Callable[[], Collection[str]]) -> Mapping[str, Piece]:
        """Return the clips of a folder by name: all, or at least the wanted ones, which go by the name ``pack``."""
        if not self._compressed:
            found, source = self._index[CLIPS].get(folder, {}), self.path
        else:
            name = f"{self._index['order'].index(folder)}-{pack}"
            found = self._made(f"{name}.json", lambda: self._pack(folder, self._home / f"{name}.bin", wanted()))[CLIPS]
            source = self._home / f"{name}.bin"
        return {name: Piece(source, offset, size) for name, (offset, size) in found.items()}

    def _made(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what the JSON file ``name`` in the cache holds; where it is not there, one process makes it.

        It lists files beside it with their sizes; where one of them is not there any more, all is made again.
        """
        path = self._home / name
        found = _read(path)
        if found is not None:
            return found
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            with FileLock(self._home / "lock"):
                found = _read(path)  # another process may have made it while this one waited
                if found is None:
                    sweep(self._home, ".")
                    found = make()
                    content = json.dumps(found, ensure_ascii=False).encode()
                    write_atomically(path, lambda file: file.write(content))
        except OSError as error:
            raise DataError(
                f"{self.path}: what is read of it cannot be kept in {self._home} ({error.strerror}); point {VARIABLE} "
                "to a folder with room"
            ) from error
        return found

    def _look_through(self) -> dict[str, Any]:
        """Keep all lists in the cache, and return where everything is."""
        log.info("%s: looking through it, once", self.path)
        lists: dict[str, dict[str, str]] = {}
        clips: dict[str, dict[str, tuple[int, int]]] = {}
        for name, place, raw in self._members(lambda name: name.suffix == ".tsv"):
            if name.suffix == ".tsv":
                number = f"{sum(map(len, lists.values()))}.tsv"
                write_atomically(self._home / number, partial(_put, raw or b""))
                lists.setdefault(str(name.parent), {})[name.stem] = number
            elif name.parent.name == CLIPS and not self._compressed:
                clips.setdefault(str(name.parent.parent), {})[name.name] = place
        kept = {name: (self._home / name).stat().st_size for folder in lists.values() for name in folder.values()}
        return {_FILES: kept, "lists": lists, "order": list(lists), CLIPS: clips}

    def _pack(self, folder: str, pack: Path, wanted: Collection[str]) -> dict[str, Any]:
        """Copy the wanted clips of a folder into one file, and return their offsets and sizes."""
        log.info("%s: copying %d clips into %s", self.path, len(wanted), pack)
        home, names = PurePosixPath(folder) / CLIPS, set(wanted)
        found: dict[str, tuple[int, int]] = {}

        def write(file: BinaryIO) -> None:
            end = 0
            for name, _, raw in self._members(lambda name: name.parent == home and name.name in names):
                if raw is not None:
                    file.write(raw)
                    found[name.name] = (end, len(raw))
                    end += len(raw)

        write_atomically(pack, write)
        return {_FILES: {pack.name: pack.stat().st_size}, CLIPS: found}

    def _members(
        self, wanted: Callable[[PurePosixPath], bool]
    ) -> Iterator[tuple[PurePosixPath, tuple[int, int], bytes | None]]:
        """Yield name, offset and size, and (where wanted) content of all plain files.

        Raises:
            DataError: the archive is cut off or broken.
        """
        far = _Progress()
        try:
            with self.path.open("rb") as raw:
                stream = _Unzipped(raw) if self._compressed else raw
                mode = "r|" if self._compressed else "r:"
                with tarfile.open(fileobj=stream, mode=mode, bufsize=_BUFFER) as tar:  # type: ignore[call-overload]
                    while (member := tar.next()) is not None:
                        far.next(member.name)
                        tar.members.clear()  # it keeps them all, and there may be millions
                        name = PurePosixPath(member.name)
                        if member.isfile() and not name.name.startswith("._"):  # what macOS puts beside files
                            file = tar.extractfile(member) if wanted(name) else None
                            yield name, (member.offset_data, member.size), file.read() if file else None
                    far.next("")
                _to_the_end(stream, tar.offset)
        except _BROKEN as error:
            fault = stream.fault if isinstance(stream, _Unzipped) else None
            raise DataError(self._broken(fault or error, far, known=fault is not None)) from error
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror or error})") from error

    def _broken(self, error: Exception, far: _Progress, known: bool) -> str:
        if not far.names and not known and isinstance(error, tarfile.TarError):
            return f"{self.path}: is no tar archive, plain or compressed by gzip ({error})"
        how = "cut off" if isinstance(error, (EOFError, tarfile.ReadError)) else "broken"
        return (
            f"{self.path}: is {how} ({error}): it can be read up to its member {far}, and has {self.stamp.split()[0]} "
            "bytes; fetch it again, or unpack what is there, name that folder as path, and leave out the missing clips "
            "with faulty: exclude"
        )


class _Progress:
    """How far an archive was read: a member is, when what follows it was reached."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._count = 0

    def next(self, name: str) -> None:
        self._count += bool(self.names)
        self.names = [*self.names[-1:], name]

    def __str__(self) -> str:
        return f"{self._count}, {self.names[0]}" if self._count else "0 (none)"


class _Unzipped:
    """A gzip stream that gives all that can be read before it tells what is wrong.

    tarfile's own ``r|gz`` takes a stream that is cut off for one that has ended.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._stream = gzip.GzipFile(fileobj=raw)
        self.fault: Exception | None = None

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes; fewer at the end, or before what is broken."""
        parts: list[bytes] = []
        while size > 0 and self.fault is None:
            try:
                part = self._stream.read1(size)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                self.fault = error
                break
            if not part:
                break
            parts.append(part)
            size -= len(part)
        if self.fault is not None and not parts:
            raise self.fault
        return b"".join(parts)


def _to_the_end(stream: BinaryIO | _Unzipped, end: int) -> None:
    """Make sure that an archive is there as a whole.

    Raises:
        EOFError: it does not end as archives do, or a compressed one has another checksum.
    """
    if isinstance(stream, _Unzipped):
        while stream.read(_BUFFER):  # to the checksum, which comes last
            pass
        return
    stream.seek(end)
    block = stream.read(_BLOCK)
    if len(block) < _BLOCK or any(block):  # tarfile takes a spoilt header for the end, too
        raise EOFError("it does not end as an archive does")


def _put(content: bytes, file: BinaryIO) -> None:
    file.write(content)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = dict(json.loads(path.read_bytes()))
        lost = [name for name, size in found[_FILES].items() if _size(path.with_name(name)) != size]
        if not lost:
            return found
        log.warning("%s: is not there as it was; it is made again", path.with_name(lost[0]))
        return None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("%s: not readable (%s); it is made again", path, error)
        return None
