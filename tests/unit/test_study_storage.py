"""Storages of studies: what cannot be used is one line that names it, and nothing is written; who may make a study."""

from __future__ import annotations

import builtins
import json
import multiprocessing
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from sqlalchemy import make_url

from benchmark.errors import SpecError, StoreError
from studies import _storage
from studies._journal import JournalFile
from studies._meaning import ABOUT, open_study
from studies._spec import StorageSpec
from studies._storage import NoStudyError, _file_of, alone, answering, open_storage, public

ATTRS = {"spec": "abc", "split": "dev", "space": {"alpha": "0..1", "rho": "0..1"}}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def refused(url: str | None, run: Path, *, create: bool = True, kind: type[Exception] = StoreError) -> str:
    """Open what cannot be opened, and return the line that says so."""
    with pytest.raises(kind) as caught:
        open_storage(StorageSpec(url=url), run, create=create)
    said = str(caught.value)
    assert "\n" not in said and len(said) < 600
    return said


def made(run: Path, name: str = "s", **attrs: Any) -> optuna.Study:
    return open_study(open_storage(StorageSpec(), run, create=True), name, ["minimize"], ATTRS | attrs, create=True)


# --- what cannot be used ----------------------------------------------------------------------------------------------


def test_an_address_of_an_unknown_kind_names_the_known_ones(tmp_path: Path) -> None:
    said = refused("mysql://me:secret@host/db", tmp_path, kind=SpecError)
    assert "mysql" in said and "sqlite:///FILE" in said and "postgresql://" in said and "secret" not in said


def test_a_missing_driver_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("psycopg"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    said = refused("postgresql://me:secret@host/db", tmp_path, kind=SpecError)
    assert "pip install 'prunebench[postgres]'" in said and "secret" not in said


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:secret@host:5/db", "postgresql://me:***@host:5/db"),
        ("postgresql://me:se@cr:et@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@/db?host=/run/pg&password=secret&port=5", "postgresql://me@/db?host=/run/pg&password=***&port=5"),
        ("sqlite:///a:b/c@d.db", "sqlite:///a:b/c@d.db"),
    ],
)  # fmt: skip
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert public(url) == shown


def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        said = refused(f"postgresql://me:secret@127.0.0.1:{taken.getsockname()[1]}/db", tmp_path)
    assert "cannot be reached" in said and "refused" in said and "secret" not in said


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setattr(_storage, "CONNECT_SECONDS", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        said = refused(f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/db", tmp_path)
    assert "cannot be reached" in said and "timeout" in said


@pytest.mark.parametrize("url", ["postgresql://me:secret@host:port/db", "postgresql://me:secret@[host/db"])
def test_what_is_no_address_is_said(tmp_path: Path, url: str) -> None:
    pytest.importorskip("psycopg")
    assert "secret" not in refused(url, tmp_path, kind=(SpecError, StoreError))  # type: ignore[arg-type]


def test_a_wrong_password_is_refused_and_not_shown(postgres: Any, tmp_path: Path) -> None:
    said = refused(postgres.url_by_port(password="falsch"), tmp_path)
    assert "password authentication failed" in said and "falsch" not in said
    assert open_storage(StorageSpec(url=postgres.url_by_port(postgres.new_database())), tmp_path, create=True)


def test_a_database_without_studies_is_left_as_it_is(database: str, postgres: Any, tmp_path: Path) -> None:
    assert "no study was run" in refused(database, tmp_path, create=False, kind=NoStudyError)
    storage = open_storage(
        StorageSpec(url=database), tmp_path, create=True
    )  # would say so if tables were there in part
    assert optuna.get_all_study_names(storage) == []


def test_a_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "studies").write_text("")
    assert "journal.log: cannot be used" in refused(None, tmp_path)


def test_a_journal_that_is_not_there_is_not_made_to_look_at(tmp_path: Path) -> None:
    said = refused(None, tmp_path, create=False, kind=NoStudyError)
    assert "journal.log" in said and "prunebench study run" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("line", ["not JSON", "[1, 2]", '{"op_code": 99}', "{}", "\udcff"])
def test_a_broken_journal_says_how_to_go_on(tmp_path: Path, line: str) -> None:
    made(tmp_path)
    path = tmp_path / "studies" / "journal.log"
    whole = path.read_bytes()
    path.write_bytes(line.encode(errors="surrogateescape") + b"\n" + whole)
    said = refused(None, tmp_path)
    assert str(path) in said and "broken" in said and "prunebench study rebuild" in said
    assert path.read_bytes().endswith(whole)


@pytest.mark.parametrize(
    ("url", "part"),
    [("sqlite://", "give a file"), ("sqlite:///:memory:", "give a file"), ("sqlite:////", "give a file")],
)
def test_sqlite_needs_a_file(tmp_path: Path, url: str, part: str) -> None:
    assert part in refused(url, tmp_path, kind=SpecError)


def test_sqlite_files_that_cannot_be_used(tmp_path: Path) -> None:
    assert "no such folder" in refused(f"sqlite:///{tmp_path}/none/s.db", tmp_path, create=False)
    assert "no such file" in refused(f"sqlite:///{tmp_path}/s.db", tmp_path, create=False, kind=NoStudyError)
    assert "not a file" in refused(f"sqlite:///{tmp_path}", tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "text.db").write_text("what is here is no database, whatever it is called; not by far" * 99)
    assert "not a database" in refused(f"sqlite:///{tmp_path}/text.db", tmp_path)


def test_sqlite_is_for_one_process_wherever_its_runs_lie(tmp_path: Path) -> None:
    settings = StorageSpec(url=f"sqlite:///{tmp_path}/s.db")
    with alone(settings):
        context = multiprocessing.get_context("fork")
        said = context.Queue()
        other = context.Process(target=_try_alone, args=(settings, said))
        other.start()
        assert "SQLite is for one" in said.get(timeout=60)
        other.join()
    with alone(settings), alone(StorageSpec()), alone(StorageSpec()):
        pass  # free again; the others are for all


def _try_alone(settings: StorageSpec, said: Any) -> None:
    try:
        with alone(settings):
            said.put("it was free")
    except SpecError as error:
        said.put(str(error))


def test_a_storage_that_is_lost_is_one_line_whatever_comes_out_of_it(tmp_path: Path) -> None:
    def lost() -> None:
        try:
            raise optuna.exceptions.StorageInternalError("The server is away")
        finally:
            raise UnboundLocalError("updated_state")  # as Optuna's clean-up does

    settings = StorageSpec(url="postgresql://me:secret@host/db")
    said = r"me:\*\*\*@host/db does not answer any more: The server is away"
    with pytest.raises(StoreError, match=said), answering(settings):
        lost()
    with pytest.raises(ZeroDivisionError), answering(settings):
        raise ZeroDivisionError  # anything else stays what it is
    with pytest.raises(SpecError, match="as it was"), answering(settings):
        raise SpecError("as it was")


# --- the journal's last line ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 7])
def test_a_line_that_was_cut_off_costs_itself_and_nothing_else(tmp_path: Path, cut: int) -> None:
    study = made(tmp_path)
    study.set_user_attr("first", 1)
    study.set_user_attr("second", 2)
    path = tmp_path / "studies" / "journal.log"
    path.write_bytes(path.read_bytes()[:-cut])
    again = made(tmp_path)
    assert again.user_attrs.keys() == {ABOUT, "first"}
    again.set_user_attr("third", 3)
    again.set_user_attr("fourth", 4)
    assert made(tmp_path).user_attrs.keys() == {ABOUT, "first", "third", "fourth"}
    for line in path.read_text().splitlines():
        json.loads(line)


def test_a_torn_line_longer_than_what_is_read_at_once_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    journal = JournalFile(path)
    journal.append_logs([{"a": 1}])
    with path.open("ab") as file:
        file.write(b"x" * 200_000)
    journal.append_logs([{"b": 2}, {"c": 3}])
    assert list(journal.read_logs(0)) == [{"a": 1}, {"b": 2}, {"c": 3}]
    path.write_bytes(b"y" * 10)
    JournalFile(path).append_logs([{"d": 4}])
    assert path.read_bytes() == b'{"d":4}\n'


def test_a_journal_that_vanishes_is_said(tmp_path: Path) -> None:
    study = made(tmp_path)
    shutil.rmtree(tmp_path / "studies")
    with pytest.raises(StoreError, match=r"journal\.log: cannot be"):
        study.set_user_attr("a", 1)


# --- a study of another meaning ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("directions", "attrs", "named"),
    [
        (["maximize"], {}, 'directions: ["minimize"] there, ["maximize"] asked for'),
        (["minimize", "minimize"], {}, "directions: "),
        (["minimize"], {"split": "train"}, 'split: "dev" there, "train" asked for'),
        (["minimize"], {"spec": "def"}, 'spec: "abc" there, "def" asked for'),
        (["minimize"], {"split": "train", "spec": "def"}, "split: "),  # the hash last
        (["minimize"], {"space": {"alpha": "0..9", "rho": "0..1"}},
         'space: {"alpha": "0..1"} there, {"alpha": "0..9"} asked for'),
    ],
)  # fmt: skip
def test_a_study_of_another_meaning_is_refused_by_what_differs(
    tmp_path: Path, directions: list[str], attrs: dict[str, Any], named: str
) -> None:
    made(tmp_path)
    before = (tmp_path / "studies" / "journal.log").read_bytes()
    for create in (True, False):
        with pytest.raises(SpecError) as caught:
            storage = open_storage(StorageSpec(), tmp_path, create=create)
            open_study(storage, "s", directions, ATTRS | attrs, create=create)
        assert named in str(caught.value) and "\n" not in str(caught.value) and "give the spec" in str(caught.value)
    assert (tmp_path / "studies" / "journal.log").read_bytes() == before


def test_a_study_of_others_is_not_taken_over(tmp_path: Path) -> None:
    storage = open_storage(StorageSpec(), tmp_path, create=True)
    theirs = optuna.create_study(storage=storage, study_name="theirs", directions=["minimize"])
    theirs.add_trial(optuna.trial.create_trial(value=1.0))
    optuna.create_study(storage=storage, study_name="empty", directions=["maximize"])
    for name in ("theirs", "empty"):
        with pytest.raises(SpecError, match="not made by prunebench"):
            open_study(storage, name, ["minimize"], ATTRS, create=True)
        assert ABOUT not in optuna.load_study(study_name=name, storage=storage).user_attrs


def test_a_study_whose_maker_died_is_made_to_the_end(tmp_path: Path) -> None:
    storage = open_storage(StorageSpec(), tmp_path, create=True)
    optuna.create_study(storage=storage, study_name="s", directions=["minimize"])
    with pytest.raises(NoStudyError):
        open_study(storage, "s", ["minimize"], ATTRS, create=False)
    assert ABOUT not in optuna.load_study(study_name="s", storage=storage).user_attrs
    assert made(tmp_path).user_attrs[ABOUT]["split"] == "dev"


def test_a_study_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    made(tmp_path, "other")
    with pytest.raises(NoStudyError, match="it holds other"):
        open_study(open_storage(StorageSpec(), tmp_path, create=False), "s", ["minimize"], ATTRS, create=False)


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///x.db?timeout=5", "x.db"),
        ("sqlite+pysqlite:///x.db", "x.db"),
        ("sqlite:////folder/x.db", "/folder/x.db"),
    ],
)
def test_the_file_of_an_sqlite_address_is_what_sqlalchemy_opens(url: str, file: str) -> None:
    assert _file_of(url) == Path(file) and make_url(url).database == file
