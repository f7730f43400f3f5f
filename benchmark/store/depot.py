"""A run on an object store: what lies there, and its mirror, a run folder on this machine that everything here reads.

The layout is that of a run folder, but for the prefix cache::

    <url>/prunebench.json, specs/, runs/<cell>/<attempt>/, timings/     as in ``benchmark.store.folders``
    <url>/work/nodes/<node>.json           mark: {"format": 1, "folder": "<stamp>", "files": {"<name>": <bytes>}}
    <url>/work/nodes/<node>/<stamp>/       files of a node, never changed

There are no locks, so the put of an attempt's ``record.json``, after its other files, is the commit mark, and one
driver alone hands out the work. The mirror is a copy that may be deleted at any time: what is not in the store is not
in it either. Models are fetched only where they are needed, and not kept.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmark.corpora._cache import cache_folder
from benchmark.errors import StoreError
from benchmark.store.folders import FORMAT, MARKER, SPECS, check_format, keep_spec, open_run, short
from benchmark.store.full_disk import DiskFullError, is_full
from benchmark.store.records import MODEL, RECORD, Record, new_stamp
from benchmark.store.remote import PROBE, Remote, is_url

TIMINGS = "timings"
NODES = "work/nodes"
_NAME = r"[^./\\][^/\\]*"  # no dot first: neither a way up nor what is still being written
_ATTEMPT = re.compile(rf"runs/(?P<cell>{_NAME})/(?P<attempt>{_NAME})/(?P<file>{_NAME})")
_LOOSE = re.compile(rf"{SPECS}/{_NAME}\.json|{TIMINGS}/{_NAME}/{_NAME}\.json")
_NODE_FILE = re.compile(_NAME)


SHOWN: dict[str, str] = {}
"""Mirrors to the URLs that they are of, in this process; see ``named``."""


class Depot:
    """A run folder at a URL.

    ``mirror`` is its copy here, and ``scratch`` where what is made here lies before it is sent; both are in the cache.

    Raises:
        RemoteError: the store cannot be opened; so does every method where it cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self.remote = Remote(url)
        self.url, self.shown = self.remote.url, self.remote.shown
        home = cache_folder() / "depots" / hashlib.sha256(self.url.encode()).hexdigest()[:16]
        self.mirror, self.scratch = home / "mirror", home / "scratch"
        SHOWN[str(self.mirror)] = self.shown
        self._lock = home / "mirror.lock"

    # --- a run begins -----------------------------------------------------------------------------------------------

    def check(self) -> bool:
        """Return whether a run is there; refuse a place that cannot take one. Nothing is left there.

        Raises:
            StoreError: other things lie there, a newer version wrote it, or it cannot be written.
        """
        marked = self.is_run()
        probe = f"{PROBE}{secrets.token_hex(4)}"
        self.remote.commit(probe, b"")
        self.remote.delete([probe])
        return marked

    def is_run(self) -> bool:
        """Return whether a run is there, or nothing at all: then the mirror of one that was there is forgotten.

        Raises:
            StoreError: other things lie there, or a newer version wrote it.
        """
        seen = self.is_marked()
        if not seen:
            shutil.rmtree(self.mirror, ignore_errors=True)
        return seen

    def is_marked(self) -> bool:
        """Return whether a run is there, or nothing at all.

        Raises:
            StoreError: as ``is_run``.
        """
        marker = self.remote.read([MARKER]).get(MARKER)
        if marker is not None:
            try:
                found = json.loads(marker)
            except ValueError:
                found = None
            if not isinstance(found, dict):
                raise StoreError(f"{self.shown}/{MARKER}: not whole JSON; restore it from the run's other copy")
            check_format(found, Path(MARKER))
            return True
        if not self.remote.is_empty():
            raise StoreError(f"{self.shown} has other things in it and is no run; give a new or an empty place")
        return False

    def begin(self, spec: Mapping[str, Any], cells: Sequence[str]) -> None:
        """Write what says that a leaderboard was started here."""
        open_run(self.mirror, create=True)
        kept = keep_spec(self.mirror, spec, cells)
        for path in (self.mirror / MARKER, kept):
            name = path.relative_to(self.mirror).as_posix()
            if not self.remote.exists(name):
                self.remote.commit(name, path.read_bytes())

    # --- records ----------------------------------------------------------------------------------------------------

    def pull(self, *, models: bool = False) -> Path:
        """Make the mirror equal to what is committed in the store, and return it.

        Raises:
            StoreError: no run is there.
        """
        if not self.is_run():
            raise StoreError(f"{self.shown}: no run is there; give the URL that a run was written to")
        with self._alone():
            if not (self.mirror / MARKER).is_file():
                self._fetch({MARKER: self.mirror / MARKER})
            there = {name for place in (SPECS, TIMINGS) for name in self.remote.sizes(place) if _LOOSE.fullmatch(name)}
            here = {path.relative_to(self.mirror).as_posix() for path in self._loose()}
            for name in here - there:
                (self.mirror / name).unlink(missing_ok=True)
            self._fetch({name: self.mirror / name for name in there - here})
            self._pull_attempts("runs", models)
        return self.mirror

    def pull_cells(self, cells: Iterable[str]) -> None:
        """Make the mirror equal to what is committed of some cells."""
        with self._alone():
            for cell in cells:
                self._pull_attempts(f"runs/{cell}", models=False)

    def _pull_attempts(self, under: str, models: bool) -> None:
        attempts: dict[str, list[str]] = {}
        for name in self.remote.sizes(under):
            if found := _ATTEMPT.fullmatch(name):
                attempts.setdefault(f"runs/{found['cell']}/{found['attempt']}", []).append(found["file"])
        committed = {place: files for place, files in attempts.items() if RECORD in files}
        depth = "*/*" if under == "runs" else "*"
        for folder in (self.mirror / under).glob(depth):
            if folder.relative_to(self.mirror).as_posix() not in committed:
                shutil.rmtree(folder, ignore_errors=True)
        wanted = {}
        for place, files in committed.items():
            whole = (self.mirror / place / RECORD).is_file()
            for file in files:
                if (models and not (self.mirror / place / MODEL).is_file()) if file == MODEL else not whole:
                    wanted[f"{place}/{file}"] = self.mirror / place / file
        self._fetch(wanted)

    def bring_models(self, found: Iterable[Record]) -> None:
        """Fetch the models of records of the mirror, those that the store has kept."""
        names = [_model(record) for record in found]
        lacking = [name for name in names if not (self.mirror / name).is_file()]
        there = self.remote.sizes("runs") if lacking else {}
        with self._alone():
            self._fetch({name: self.mirror / name for name in lacking if name in there})

    def drop_models(self, found: Sequence[Record]) -> list[str]:
        """Delete the models of records, here and there, and return the cells that had one."""
        there = self.remote.sizes("runs")
        dropped = {_model(record): record.cell for record in found if _model(record) in there}
        self.remote.delete(list(dropped))
        for record in found:
            (self.mirror / _model(record)).unlink(missing_ok=True)
        return list(dropped.values())

    def put_attempt(self, folder: Path) -> None:
        """Send a committed attempt, its record last."""
        place = f"runs/{folder.parent.name}/{folder.name}"
        for path in sorted(folder.iterdir()):
            if path.name != RECORD and path.is_file():
                self.remote.put(path, f"{place}/{path.name}")
        self.remote.commit(f"{place}/{RECORD}", (folder / RECORD).read_bytes())

    def put_files(self, paths: Iterable[Path]) -> list[str]:
        """Send files of the mirror (timings, reports), each whole or not at all, and return where they are then."""
        names = {path.relative_to(self.mirror).as_posix(): path for path in paths}
        for name, path in names.items():
            self.remote.commit(name, path.read_bytes())
        return [f"{self.shown}/{name}" for name in names]

    # --- nodes ------------------------------------------------------------------------------------------------------

    def nodes(self) -> dict[str, dict[str, int]]:
        """Return the nodes that are there, each with its files and their bytes."""
        marks = [name for name in self.remote.sizes(NODES) if name.count("/") == 2 and name.endswith(".json")]
        found = {name: _mark(content) for name, content in self.remote.read(marks).items()}
        return {Path(name).stem: mark["files"] for name, mark in found.items() if mark is not None}

    def node(self, node: str) -> dict[str, Any] | None:
        """Return the mark of a node; None where it is not there, or its mark cannot be read."""
        content = self.remote.read([f"{NODES}/{node}.json"]).get(f"{NODES}/{node}.json")
        return None if content is None else _mark(content)

    def get_node(self, node: str, stamp: str, files: Collection[str], to: Path) -> None:
        """Fetch files of a node from the folder there that its mark names (``stamp``) into a folder here."""
        self.remote.get({f"{NODES}/{node}/{stamp}/{name}": to / name for name in files})

    def put_node(self, node: str, folder: Path) -> str:
        """Send the files of a node and then its mark; return the name of their folder there."""
        stamp = new_stamp()
        files = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
        for name in files:
            self.remote.put(folder / name, f"{NODES}/{node}/{stamp}/{name}")
        mark = {"format": FORMAT, "folder": stamp, "files": files}
        self.remote.commit(f"{NODES}/{node}.json", json.dumps(mark).encode())
        return stamp

    def drop_node(self, node: str) -> None:
        """Delete a node, its mark first."""
        self.remote.delete([f"{NODES}/{node}.json"])
        self.remote.delete(sorted(self.remote.sizes(f"{NODES}/{node}")))

    # --- the mirror -------------------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the mirror, and name it in whatever its disk says.

        Raises:
            DiskFullError: there is no room for it.
            StoreError: it cannot be written.
        """
        try:
            self._lock.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._lock):
                yield
        except OSError as error:
            kind = DiskFullError if is_full(error) else StoreError
            raise kind(
                f"{self._lock.parent}: the copy of {self.shown} cannot be written ({short(error)}); set "
                "PRUNEBENCH_CACHE to a folder with room"
            ) from error

    def _loose(self) -> Iterator[Path]:
        yield from (self.mirror / SPECS).glob("*.json")
        yield from (self.mirror / TIMINGS).glob("*/*.json")

    def _fetch(self, wanted: Mapping[str, Path]) -> None:
        """Fetch objects beside the mirror and move each into place, records last: none is ever there in part."""
        if not wanted:
            return
        staging = self.mirror.parent / f"incoming-{secrets.token_hex(4)}"
        try:
            self.remote.get({name: staging / name for name in wanted})
            for name in sorted(wanted, key=lambda name: name.endswith(f"/{RECORD}")):
                wanted[name].parent.mkdir(parents=True, exist_ok=True)
                (staging / name).replace(wanted[name])
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _mark(content: bytes) -> dict[str, Any] | None:
    """Return a node's mark; None for one that says nothing usable, and then the node is made again."""
    try:
        found = json.loads(content)
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("files"), dict):
        return None
    names = [found.get("folder"), *found["files"]]
    return found if all(isinstance(name, str) and _NODE_FILE.fullmatch(name) for name in names) else None


def _model(record: Record) -> str:
    return f"runs/{record.cell}/{record.attempt}/{MODEL}"


def reach(place: Path | str, *, models: bool = False) -> Path:
    """Return the run folder at a place: a path as it is, or the mirror of a URL, brought up to date.

    With ``models``, those that the store has kept are in it too.

    Raises:
        StoreError: a URL with no run, or that cannot be reached.
    """
    return Depot(str(place)).pull(models=models) if is_url(place) else Path(place)


def forget_models(run: Path) -> None:
    """Delete the models of a mirror, which may be large and which the store keeps; of a folder of its own, nothing."""
    if str(run) in SHOWN:
        for path in (run / "runs").glob(f"*/*/{MODEL}"):
            path.unlink(missing_ok=True)


def named(text: str) -> str:
    """Return a text in which mirrors are called by their URLs: what is to be mended lies there."""
    for mirror, url in SHOWN.items():
        text = text.replace(mirror, url)
    return text
