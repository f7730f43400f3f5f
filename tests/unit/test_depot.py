"""Runs on an object store: what counts there, what the mirror holds, and what is refused in one line."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from benchmark.errors import SpecError, StoreError
from benchmark.harness.distant import Distant
from benchmark.harness.state import Ledger, NodeLost, State
from benchmark.store.depot import Depot, forget_models, named, reach
from benchmark.store.folders import check_run, open_run
from benchmark.store.full_disk import DiskFullError
from benchmark.store.records import Attempt, latest, records
from benchmark.store.remote import RemoteError, is_url
from benchmark.store.timings import timings, write_timing
from tests import fake_runs

NODE = "a" * 24
SPEC = {"name": "x", "normalizer": "hindi"}


@pytest.fixture(params=["memory", "file"])
def depot(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Depot]:
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "cache"))
    yield Depot(f"memory://bucket/{tmp_path.name}" if request.param == "memory" else f"file://{tmp_path}/store")
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def filled(depot: Depot, tmp_path: Path) -> Depot:
    """A store with all attempts of an invented run, each with a model."""
    run = fake_runs.make(tmp_path / "run")
    depot.begin(SPEC, ["x"])
    for record in records(run):
        (record.path / "model.safetensors").write_bytes(b"weights")
        depot.put_attempt(record.path)
    return depot


def state(value: float = 1.0) -> State:
    import torch

    weights = {"w": torch.full((3,), value)}
    return State(weights, {"w": {"exp_avg": torch.zeros(3)}}, ledger=Ledger(steps=5))


def weights_of(found: State) -> list[float]:
    assert found.weights is not None
    return [float(value) for value in found.weights["w"]]


def test_the_mirror_is_what_was_sent_but_for_models(filled: Depot, tmp_path: Path) -> None:
    mirror = Depot(filled.url).pull()
    sent, seen = records(tmp_path / "run"), records(mirror)
    assert [record.data for record in seen] == [record.data for record in sent] and len(seen) > 3
    for one, other in zip(sent, seen, strict=True):
        ours = {path.name: path.read_bytes() for path in one.path.iterdir() if path.name != "model.safetensors"}
        assert {path.name: path.read_bytes() for path in other.path.iterdir()} == ours
    filled.bring_models(seen[:1])
    assert [(record.path / "model.safetensors").exists() for record in seen] == [True] + [False] * (len(seen) - 1)
    Depot(filled.url).pull(models=True)
    assert all((record.path / "model.safetensors").read_bytes() == b"weights" for record in seen)


def test_without_its_record_an_attempt_does_not_count(filled: Depot) -> None:
    before = latest(filled.pull())
    lost = before[0]
    filled.remote.delete([f"runs/{lost.cell}/{lost.attempt}/record.json"])
    assert [record.cell for record in latest(filled.pull())] == [record.cell for record in before[1:]]
    assert not lost.path.exists()


def test_a_cell_is_looked_at_alone(filled: Depot) -> None:
    one, other, *_ = latest(filled.pull())
    for record in (one, other):
        filled.remote.delete([f"runs/{record.cell}/{record.attempt}/record.json"])
    filled.pull_cells([one.cell])
    assert not one.path.exists() and other.path.exists()


def test_names_that_lead_out_of_the_mirror_are_left_alone(filled: Depot, tmp_path: Path) -> None:
    before = len(records(filled.pull()))
    filled.remote.commit("runs/c/.hidden/record.json", b"{}")
    if filled.url.startswith("memory"):  # a folder cannot hold such names, an object store can
        objects = fsspec.filesystem("memory").store
        marker = objects[f"{filled.remote.root}/prunebench.json"]
        for name in ("runs/../../../evil/x/record.json", "specs/../evil.json", "timings/a/../../evil.json"):
            objects[f"{filled.remote.root}/{name}"] = marker
    assert len(records(filled.pull())) == before
    assert not list(tmp_path.rglob("evil*")) and not list(filled.mirror.rglob(".hidden"))


def test_a_place_with_other_things_is_refused_and_left_as_it_was(depot: Depot) -> None:
    depot.remote.commit("notes.txt", b"mine")
    with pytest.raises(StoreError, match="has other things in it and is no run"):
        depot.check()
    assert depot.remote.sizes() == {"notes.txt": 4}


def test_an_empty_place_is_taken_and_nothing_is_left_by_asking(depot: Depot) -> None:
    assert depot.check() is False
    assert depot.remote.sizes() == {} and not depot.mirror.exists()
    with pytest.raises(StoreError, match="no run is there; give the URL"):
        depot.pull()
    depot.begin(SPEC, [])
    assert depot.check() is True and open_run(reach(depot.url)) == depot.mirror


@pytest.mark.parametrize(
    ("marker", "said"), [(b'{"format": 99}', "format 99 is newer"), (b"{", "not whole JSON"), (b"[]", "not whole JSON")]
)
def test_markers_that_cannot_be_used(depot: Depot, marker: bytes, said: str) -> None:
    depot.remote.commit("prunebench.json", marker)
    for use in (depot.check, depot.pull):
        with pytest.raises(StoreError, match=said):
            use()


def test_a_run_that_was_deleted_there_is_not_served_from_here(filled: Depot) -> None:
    filled.pull()
    filled.remote.delete(list(filled.remote.sizes()))
    with pytest.raises(StoreError, match="no run is there"):
        filled.pull()
    assert not filled.mirror.exists()


def test_models_are_dropped_there_and_here(filled: Depot) -> None:
    one, other, *_ = latest(filled.pull(models=True))
    assert filled.drop_models([one, one]) == [one.cell]
    left = {name for name in filled.remote.sizes() if name.endswith("/model.safetensors")}
    assert f"runs/{one.cell}/{one.attempt}/model.safetensors" not in left
    assert f"runs/{other.cell}/{other.attempt}/model.safetensors" in left
    assert not (one.path / "model.safetensors").exists() and (other.path / "model.safetensors").exists()


def test_an_attempt_is_committed_by_its_record_alone(
    depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is put last, so of a put that broke off nothing is seen."""
    run = open_run(tmp_path / "run", create=True)
    attempt = Attempt.create(run, "c" * 16, {"method": {"name": "x"}})
    failure = {"type": "E", "message": "m"}
    attempt.commit({"status": "failed", "error": failure, "spec": {"method": {"name": "x"}}})
    depot.begin(SPEC, [])

    def broken(*_: Any) -> None:
        raise RemoteError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(depot.remote, "commit", broken)
        with pytest.raises(RemoteError, match="gone"):
            depot.put_attempt(attempt.path)
    assert any(name.endswith("/spec.json") for name in depot.remote.sizes("runs"))
    assert not records(depot.pull())
    depot.put_attempt(attempt.path)
    assert [record.attempt for record in records(depot.pull())] == [attempt.name]


# --- nodes --------------------------------------------------------------------------------------------------------


def elsewhere(depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Distant:
    """The same store, seen from a machine with an empty cache."""
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "elsewhere"))
    return Distant(Depot(depot.url))


def test_a_node_is_what_it_was_on_another_machine(
    depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Distant(depot).save(NODE, state(2.0))
    other = elsewhere(depot, tmp_path, monkeypatch)
    assert other.has(NODE, optimizer=True) and not other.here.has(NODE, optimizer=False)
    light = other.load(NODE, optimizer=False)
    assert weights_of(light) == [2.0] * 3 and light.ledger.steps == 5
    assert not (other.path(NODE) / "optimizer.safetensors").exists()  # not even fetched
    whole = other.load(NODE)
    assert whole.optimizer is not None and whole.optimizer["w"]["exp_avg"].tolist() == [0.0] * 3


def test_a_mark_tells_of_one_put_alone(depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two who made the same node at once, the last one counts, and never files of both."""
    first, second = Distant(depot), elsewhere(depot, tmp_path, monkeypatch)
    first.save(NODE, state(1.0))
    second.save(NODE, state(2.0))
    assert [weights_of(one.load(NODE)) for one in (first, second)] == [[2.0] * 3] * 2


@pytest.mark.parametrize("harm", ["mark", "file", "cut", "words"])
def test_a_node_that_is_not_whole_is_lost_and_can_be_made_again(
    depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    Distant(depot).save(NODE, state())
    (model,) = (name for name in depot.remote.sizes() if name.endswith("/model.safetensors"))
    if harm == "mark":
        depot.remote.delete([f"work/nodes/{NODE}.json"])
    elif harm == "words":
        depot.remote.commit(f"work/nodes/{NODE}.json", b"{")
    elif harm == "file":
        depot.remote.delete([model])
    else:
        depot.remote.commit(model, b"short")
    other = elsewhere(depot, tmp_path, monkeypatch)
    assert other.has(NODE, optimizer=True) is (harm in ("file", "cut"))
    with pytest.raises(NodeLost) as caught:
        other.load(NODE)
    assert caught.value.node == NODE and not other.path(NODE).exists()
    other.drop(NODE)
    assert not depot.remote.sizes()
    other.save(NODE, state(3.0))
    assert depot.nodes().keys() == {NODE}


def test_what_was_made_here_and_not_sent_is_sent_when_it_is_asked_for(depot: Depot) -> None:
    shop = Distant(depot)
    shop.here.save(NODE, state())
    assert not depot.nodes()
    assert shop.has(NODE, optimizer=True) and depot.nodes().keys() == {NODE}


def test_this_machine_keeps_few_nodes_and_the_store_all(depot: Depot) -> None:
    shop = Distant(depot)
    names = [f"{number:024x}" for number in range(7)]
    for name in names:
        shop.save(name, state())
    shop.tidy()
    assert sorted(path.name for path in shop.folder.iterdir()) == names[-4:]
    assert sorted(depot.nodes()) == names


def test_marks_that_point_out_of_the_node_are_no_marks(depot: Depot) -> None:
    about: dict[str, Any] = {"format": 1, "folder": "x", "files": {"../../evil": 3}}
    depot.remote.commit(f"work/nodes/{NODE}.json", json.dumps(about).encode())
    assert depot.node(NODE) is None and not depot.nodes()


# --- URLs ---------------------------------------------------------------------------------------------------------


def test_a_url_is_no_folder_by_accident(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for use in (check_run, open_run):
        with pytest.raises(StoreError, match=r"s3:/bucket/run: a URL is no folder; run, leaderboard and plan take one"):
            use(Path("s3://bucket/run"))
    assert not list(tmp_path.iterdir())
    assert is_url("s3://bucket/run") and is_url("file:///run") and is_url("abfs://a@b/c")
    assert not is_url("runs/a") and not is_url(Path("s3://bucket")) and not is_url("C:/runs")


def test_faults_of_a_store_are_one_line_that_names_the_place(
    depot: Depot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class BrokenError(Exception):
        """As of a library whose errors are of no kind of Python's."""

    def fail(*_: Any, **__: Any) -> None:
        raise BrokenError("no such bucket\nand more")

    (tmp_path / "x").write_text("x")
    uses = {
        "find": lambda: depot.remote.sizes("runs"),
        "exists": lambda: depot.remote.exists("runs/x"),
        "cat": lambda: depot.remote.read(["runs/x"]),
        "put_file": lambda: depot.remote.put(tmp_path / "x", "runs/x"),
        "get": lambda: depot.remote.get({"runs/x": tmp_path / "y"}),
    }
    for what, use in uses.items():
        with monkeypatch.context() as patch:
            patch.setattr(type(depot.remote.files), what, fail)
            with pytest.raises(RemoteError) as caught:
                use()
        said = str(caught.value)
        assert said.startswith(depot.url) and "(no such bucket)" in said and "\n" not in said


def test_a_password_in_a_url_is_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path))
    depot = Depot("memory://me:secret@bucket/run")
    assert depot.url == "memory://me:secret@bucket/run" and depot.shown == "memory://me:***@bucket/run"
    with pytest.raises(StoreError) as caught:
        depot.pull()
    assert str(caught.value).startswith("memory://me:***@bucket/run: no run is there")
    assert Depot("memory://bucket/a:b@c").shown == "memory://bucket/a:b@c"


@pytest.mark.parametrize("url", ["s3://", "file:///", "memory://x/g[1]", "memory://x/*", "simplecache::memory://x/y"])
def test_urls_that_name_no_one_place_are_refused(url: str) -> None:
    assert is_url(url)
    with pytest.raises(SpecError, match=r"names no place|give a plain URL"):
        Depot(url)


def test_a_probe_that_was_left_is_no_other_thing(depot: Depot) -> None:
    depot.remote.commit(".probe-12345678", b"")
    assert depot.check() is False


def test_what_is_being_fetched_is_not_tidied(depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Distant(depot).save(NODE, state(2.0))
    other = elsewhere(depot, tmp_path, monkeypatch)
    for number in range(5):
        other.here.save(f"{number:024x}", state())
    honest = other.depot.get_node

    def interrupted(*asked: Any) -> None:
        honest(*asked)
        Distant(Depot(depot.url)).tidy()

    monkeypatch.setattr(other.depot, "get_node", interrupted)
    assert weights_of(other.load(NODE)) == [2.0] * 3
    assert not list((other.run / "incoming").iterdir())


def test_a_mirror_that_cannot_be_written_is_one_line(filled: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def forbidden(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    for fault, kind in ((full, DiskFullError), (forbidden, StoreError)):
        with monkeypatch.context() as patch:
            patch.setattr("benchmark.store.depot.FileLock.acquire", fault)
            for use in (filled.pull, lambda: filled.pull_cells(["x"])):
                with pytest.raises(kind) as caught:
                    use()
        said = named(str(caught.value))  # where the cache is, which no URL takes the place of
        assert said.startswith(f"{filled.mirror.parent}: the copy of {filled.url} cannot be written (")
        assert said.endswith("set PRUNEBENCH_CACHE to a folder with room")


def test_what_is_to_be_mended_is_named_where_it_lies(depot: Depot) -> None:
    assert named(f"{depot.mirror}/runs/a/b/record.json: broken") == f"{depot.url}/runs/a/b/record.json: broken"


def test_timings_are_sent_whole(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    depot.begin(SPEC, [])
    path = write_timing(depot.mirror, "cpu", [{"cell": "a", "attempt": "b"}])
    monkeypatch.setattr(type(depot.remote), "put", lambda *_: pytest.fail("a file in place may be seen in part"))
    assert depot.put_files([path]) == [f"{depot.url}/{path.relative_to(depot.mirror)}"]
    path.unlink()
    assert [one["device"] for one in timings(depot.pull())] == ["cpu"]


def refused(*_: Any, **__: Any) -> None:
    raise PermissionError("not yours")


def test_a_listing_that_is_refused_is_no_empty_place(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    depot.remote.commit("notes.txt", b"mine")

    monkeypatch.setattr(type(depot.remote.files), "ls", refused)
    with pytest.raises(RemoteError, match="cannot be listed"):
        depot.check()


def test_a_deletion_that_is_refused_is_heard(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    depot.remote.commit("a", b"")

    monkeypatch.setattr(type(depot.remote.files), "rm_file", refused)
    with pytest.raises(RemoteError, match="cannot be deleted"):
        depot.remote.delete(["a"])


def test_models_are_forgotten_of_mirrors_alone(filled: Depot, tmp_path: Path) -> None:
    forget_models(filled.pull(models=True))
    forget_models(tmp_path / "run")
    assert not list(filled.mirror.glob("runs/*/*/model.safetensors"))
    assert list((tmp_path / "run").glob("runs/*/*/model.safetensors"))
