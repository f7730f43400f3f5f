"""An object store by its URL, through fsspec: listings, transfers, and every fault as one line that names the place.

An object is there whole or not at all, and there are no locks. A plain folder as ``file://`` (a disk without file
locks, say) is served too: what must be whole is renamed into place there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmark.errors import SpecError, StoreError
from benchmark.store.files import write_atomically
from benchmark.store.folders import short
from benchmark.store.full_disk import is_full

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]+://")
_PASSWORD = re.compile(r"^([^:]+://[^/@:]*:)[^/@]*@")  # sftp://me:secret@host


PROBE = ".probe-"
"""How names begin of objects that are put to see whether anything can be."""


class RemoteError(StoreError):
    """An object store cannot be reached or refuses: no fault of any cell."""


def hidden(url: str) -> str:
    """Return a URL without a password that it may hold."""
    return _PASSWORD.sub(r"\1***@", url)


def is_url(place: object) -> bool:
    """Whether a place is named by a URL (``s3://bucket/run``) and is no path."""
    return isinstance(place, str) and _URL.match(place) is not None


def _checked(url: str) -> str:
    """Return a URL without slashes at its end.

    Raises:
        SpecError: it names no place below its protocol, chains several, or has signs that stand for other names.
    """
    protocol, _, place = url.partition("://")
    if not place.strip("/"):
        raise SpecError(f"{url}: names no place; give one, such as {protocol or 's3'}://bucket/runs/mine")
    if "::" in protocol or set("*?[]") & set(place):
        raise SpecError(f"{url}: give a plain URL, protocol://place, without '::' and any of * ? [ ]")
    return url.rstrip("/")


class Remote:
    """Everything below one URL; names are relative to it, with ``/`` between their parts.

    ``shown`` is the URL without a password that it may hold, for whatever is printed.

    Raises:
        SpecError: a URL of another form than ``protocol://place``.
        RemoteError: no such protocol, its package is not installed, or the store cannot be opened.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = _checked(url)
        self.shown = hidden(self.url)
        with self._told("cannot be opened"):
            self.files: Any
            self.files, root = fsspec.core.url_to_fs(self.url)
        self.root = str(root).rstrip("/")
        protocol = self.files.protocol
        self._plain = "file" in ([protocol] if isinstance(protocol, str) else protocol)

    @contextmanager
    def _told(self, failed: str, name: str = "") -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as error:  # whatever the library behind a protocol raises: botocore's, aiohttp's, OSError
            if is_full(error):  # of this machine
                raise
            place = f"{self.shown}/{name}" if name else self.shown
            if isinstance(error, ImportError):
                raise RemoteError(
                    f"{place}: needs a package ({short(error)}): pip install it, and try again"
                ) from error
            said = f"{place}: {failed} ({short(error)}); check the URL, the network and your rights there"
            raise RemoteError(said) from error

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    def sizes(self, under: str = "") -> dict[str, int]:
        """Return the names of all objects below a name, and their bytes, as they are now."""
        with self._told("cannot be listed", under):
            self.files.invalidate_cache()
            try:
                found = self.files.find(self._path(under), detail=True)
            except FileNotFoundError:
                return {}
        start = len(self.root) + 1
        return {str(path)[start:]: int(about.get("size") or 0) for path, about in found.items()}

    def is_empty(self) -> bool:
        """Whether no object is there; costs no more than finding the first one.

        Empty folders do not count, nor do objects that stand for a folder, nor the probe of another process.
        """
        with self._told("cannot be listed"):
            self.files.invalidate_cache()
            try:
                walk = self.files.walk(self.root, on_error="raise")
                return all(not name.strip("/") or name.startswith(PROBE) for _, _, names in walk for name in names)
            except FileNotFoundError:
                return True

    def exists(self, name: str) -> bool:
        """Whether an object is there now."""
        with self._told("cannot be looked up", name):
            self.files.invalidate_cache()
            return bool(self.files.exists(self._path(name)))

    def read(self, names: Collection[str]) -> dict[str, bytes]:
        """Return small objects by name, those that are there; many at once where the store can."""
        if not names:
            return {}
        with self._told("cannot be read"):
            found: Mapping[str, Any] = self.files.cat([self._path(name) for name in names], on_error="return")
            read = {name: found.get(self._path(name)) for name in names}
            for content in read.values():
                if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                    raise content
        return {name: content for name, content in read.items() if isinstance(content, bytes)}

    def get(self, wanted: Mapping[str, Path]) -> None:
        """Fetch objects to files; what a file holds before the end of the call is not the whole object."""
        for path in wanted.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        if wanted:
            with self._told("cannot be fetched", next(iter(wanted))):
                self.files.get([self._path(name) for name in wanted], [str(path) for path in wanted.values()])

    def put(self, path: Path, name: str) -> None:
        """Send a file."""
        with self._told("cannot be written", name):
            try:
                self.files.put_file(str(path), self._path(name))
            except FileNotFoundError:  # a store with real folders; an object store must not be asked to make any
                self.files.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
                self.files.put_file(str(path), self._path(name))

    def commit(self, name: str, content: bytes) -> None:
        """Write a small object that is there whole or not at all: a mark that vouches for what was put before."""
        with self._told("cannot be written", name):
            if self._plain:
                place = Path(self._path(name))
                place.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(place, content)
            else:
                self.files.pipe_file(self._path(name), content)

    def delete(self, names: Collection[str]) -> None:
        """Delete objects, of which some may be gone."""
        with self._told("cannot be deleted", next(iter(names), "")):
            for name in names:  # one by one: of a list, s3fs says nothing where it is refused
                with suppress(FileNotFoundError):
                    self.files.rm_file(self._path(name))
