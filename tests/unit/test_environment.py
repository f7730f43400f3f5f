"""What a record says about where it was made."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from benchmark.harness import environment as module


@pytest.fixture(autouse=True)
def _asked_anew():
    module.commit.cache_clear()
    yield
    module.commit.cache_clear()


def test_the_commit_of_a_checkout_and_whether_files_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        return subprocess.run(["git", "-C", tmp_path, *who, *words], capture_output=True, text=True, check=True).stdout

    git("init", "-q")
    (tmp_path / "file").write_text("one")
    git("add", ".")
    git("commit", "-qm", "first")
    monkeypatch.setattr(module, "_SOURCE", tmp_path)
    head = git("rev-parse", "HEAD").strip()
    assert module.commit() == head[:12]
    (tmp_path / "file").write_text("two")
    module.commit.cache_clear()
    assert module.commit() == f"{head[:12]}-dirty"


def test_a_plain_installation_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SOURCE", tmp_path)
    told = {"read_text": lambda _, name: None}
    monkeypatch.setattr(module.Distribution, "from_name", lambda name: type("Fake", (), told)())
    assert module.commit() is None


def test_an_installation_from_a_repository_knows_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SOURCE", tmp_path)
    told = {"read_text": lambda _, name: '{"url": "x", "vcs_info": {"vcs": "git", "commit_id": "abc"}}'}
    monkeypatch.setattr(module.Distribution, "from_name", lambda name: type("Fake", (), told)())
    assert module.commit() == "abc"


def test_threads_and_versions_are_those_in_use() -> None:
    found = module.environment()
    assert found["threads"] == torch.get_num_threads()
    assert found["versions"]["torch"] == torch.__version__
