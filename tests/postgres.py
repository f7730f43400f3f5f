"""A PostgreSQL of the tests' own: a server in a temporary folder, on a Unix socket and a free port, gone at the end."""

from __future__ import annotations

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

USER, PASSWORD = "tester", "geheim"
SECONDS = 60
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Server:
    """A running server: without a password on its socket, with one on its port."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    def url(self, name: str = "postgres") -> str:
        """Return the address of a database, by the socket."""
        return f"postgresql://{USER}@/{name}?host={self.folder}&port={self.port}"

    def url_by_port(self, name: str = "postgres", password: str = PASSWORD) -> str:
        """Return the address of a database, by port and password."""
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{name}"

    def run(self, command: str) -> list[tuple[Any, ...]]:
        """Carry out one command of SQL."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            found = connection.execute(command)  # type: ignore[arg-type, unused-ignore]
            return found.fetchall() if found.description else []

    def new_database(self) -> str:
        """Make an empty database and return its name."""
        name = f"t{secrets.token_hex(6)}"
        self.run(f"CREATE DATABASE {name}")
        return name

    def stop(self) -> None:
        """Stop the server at once, with all its sessions."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def programs() -> Path | None:
    """Return the folder of initdb and postgres: Debian keeps them off the search path."""
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    for found in [*sorted(debian, reverse=True), shutil.which("initdb")]:
        if found is not None and (Path(found).resolve().parent / "postgres").exists():
            return Path(found).resolve().parent
    return None


def start() -> Server:
    """Start a server, or skip the test where this machine has none."""
    pytest.importorskip("psycopg", reason="no driver: pip install 'prunebench[postgres]'")
    where = programs()
    if where is None:
        pytest.skip("no PostgreSQL server on this machine (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # short: a socket's path has 107 bytes at most
    owner = _owner()
    if owner is not None:
        shutil.chown(folder, owner, pwd.getpwnam(owner).pw_gid)
    try:
        password = folder / "password"
        password.write_text(PASSWORD)
        made = ["--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password}", "-U", USER]
        _call([where / "initdb", "-D", folder / "data", "-N", "-E", "UTF8", "--locale=C", *made], owner, folder)
        for _ in range(5):  # the port may be taken between the look and the start
            server = _begun(where, folder, owner)
            if server is not None:
                return server
        raise AssertionError(f"PostgreSQL does not start: {(folder / 'log').read_text()[-2000:]}")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _begun(where: Path, folder: Path, owner: str | None) -> Server | None:
    import psycopg

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # No fsync: what a power cut leaves of it is nobody's concern.
    options = ["-k", folder, "-p", port, "-c", "listen_addresses=127.0.0.1", "-F", "-c", "max_connections=50"]
    command = [str(part) for part in (where / "postgres", "-D", folder / "data", *options)]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_parent,
            **_as(owner),
        )
    server = Server(folder, port, process)
    end = time.monotonic() + SECONDS
    while process.poll() is None:
        try:
            psycopg.connect(server.url(), connect_timeout=2).close()
            return server
        except psycopg.OperationalError:
            if time.monotonic() > end:
                server.stop()
            time.sleep(0.05)
        except BaseException:
            server.stop()
            raise
    return None


def _owner() -> str | None:
    """Return who runs the server: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def _as(owner: str | None) -> dict[str, Any]:
    return {} if owner is None else {"user": owner, "group": pwd.getpwnam(owner).pw_gid, "extra_groups": []}


def _call(command: list[Any], owner: str | None, folder: Path) -> None:
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, **_as(owner))
    assert done.returncode == 0, done.stderr


def _die_with_parent() -> None:
    """Ask the kernel to stop the server should the tests be killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Start one server for all tests of a process."""
    server = start()
    yield server
    server.stop()
    shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture
def database(postgres: Server) -> Iterator[str]:
    """Return the address of an empty database, which is dropped after the test."""
    name = postgres.new_database()
    yield postgres.url(name)
    postgres.run(f"DROP DATABASE {name} WITH (FORCE)")
