"""The one door for plug-ins: who owns a name, and what a broken plug-in may not do."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from benchmark import registry as module
from benchmark.api import Config, Corpus, Method, Normalizer
from benchmark.errors import SpecError
from benchmark.registry import ENTRY_POINT_GROUP, Registry
from tests.fake_runs import Plain


@pytest.fixture
def outsider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install a module as an outside plug-in of a fresh registry, which it finds as ``module.REGISTRY``."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(name: str, code: str) -> Registry:
        (tmp_path / f"{name}.py").write_text(code)
        point = EntryPoint(name="theirs", value=name, group=ENTRY_POINT_GROUP)
        monkeypatch.setattr(module, "entry_points", lambda group: [point] if group == ENTRY_POINT_GROUP else [])
        # The real built-in modules are imported already and would not register anew: one of the test's own stands in.
        (tmp_path / f"home_{name}").mkdir()
        (tmp_path / f"home_{name}" / "__init__.py").write_text("")
        (tmp_path / f"home_{name}" / "ours.py").write_text(CLAIM.format(owner="Ours"))
        monkeypatch.setattr(module, "_HOMES", {"verb": (), "normalizer": (f"home_{name}",)})
        fresh = Registry()
        monkeypatch.setattr(module, "REGISTRY", fresh)
        return fresh

    return install


CLAIM = """
from benchmark import registry
from benchmark.api import Normalizer

@registry.REGISTRY.register("normalizer", "plain")
class {owner}(Normalizer):
    def __call__(self, text):
        return text
"""


def test_a_name_has_one_owner() -> None:
    fresh = Registry()

    class One(Plain):
        name = "a"

    class Other(Plain):
        name = "a"

    assert fresh.register("normalizer", "a")(One) is One
    fresh.register("normalizer", "a")(One)  # a module that is imported twice is no second owner
    with pytest.raises(SpecError, match=r"claimed by both .*One and .*Other; rename"):
        fresh.register("normalizer", "a")(Other)


def test_a_name_that_two_claim_takes_no_other_down() -> None:
    fresh = Registry()
    fresh._loaded |= {"", "normalizers"}
    made = {owner: type(owner, (Plain,), {"name": name}) for owner, name in (("A", "a"), ("B", "b"), ("C", "b"))}
    fresh.register("normalizer", "a")(made["A"])
    fresh.register("normalizer", "b")(made["B"])
    with pytest.raises(SpecError):
        fresh.register("normalizer", "b")(made["C"])
    assert list(fresh.plugins("normalizer")) == [("a", made["A"])]
    (clash,) = fresh.clashes("normalizer")
    assert "'b' is claimed by both" in clash and ".B and " in clash
    assert not fresh.clashes("method")
    assert fresh.names("normalizer") == ["a", "b"]  # it is known, and whoever asks for it is told


class Abstract(Normalizer):
    pass


class NoMethod(Method):
    def program(self, budget, total_steps):
        yield from ()


class NoModel(Corpus):
    def load(self, split, limit=None):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("kind", "plugin", "said"),
    [
        ("normalizer", str.lower, r"is no class derived from benchmark\.api\.Normalizer"),
        ("normalizer", NoMethod, r"is no class derived from benchmark\.api\.Normalizer"),
        ("model", NoModel, r"is no class derived from benchmark\.api\.Model"),
        ("normalizer", Abstract, "does not define __call__"),
        ("normalizer", {"Config": dict}, r"has a Config that is not derived from benchmark\.api\.Config"),
        ("normalizer", {"Config": Config()}, "has a Config that is not derived"),
        ("normalizer", {"version": 2}, "has version 2, which is no text such as '1'"),
        ("normalizer", {"languages": "hi"}, "has languages 'hi', which is no tuple of language codes"),
        ("normalizer", {"languages": None}, "has languages None"),
        ("normalizer", {"languages": ("hi", 3)}, "has languages"),
        ("normalizer", {"unit": "words"}, "has unit 'words', which is neither of word, char"),
        ("normalizer", {"name": "theirs"}, "is registered as 'theirs' already"),
        ("method", NoMethod, "has no budgets, a frozenset of none, prunable_nominal"),
        ("verb", "build", "is no function that takes the typer app"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_not_registered(kind: str, plugin: object, said: str) -> None:
    """Else it would break whoever lists all plug-ins of its kind, or looks through them for a language."""
    fresh = Registry()
    fresh._loaded |= {"", "normalizers", "methods", "benchmark.whisper.models", "benchmark.cli", "reports", "studies"}
    if isinstance(plugin, dict):
        plugin = type("Made", (Plain,), {"name": "made", **plugin})
    with pytest.raises(SpecError, match=rf"{kind} 'made' \(.*\) {said}"):
        fresh.register(kind, "made")(plugin)
    assert fresh.names(kind) == []


@pytest.mark.parametrize("first_asked", ["verb", "normalizer"])
def test_an_outsider_that_claims_our_name_is_an_error_and_never_served(outsider, first_asked: str) -> None:
    fresh = outsider(f"thief_{first_asked}", CLAIM.format(owner="Theirs"))
    fresh.names(first_asked)  # whatever kind is asked for first, ours are there before outsiders
    with pytest.raises(SpecError, match=r"claimed by both home_thief_.*Ours and thief_.*Theirs"):
        fresh.get("normalizer", "plain")
    assert "claimed by both" in fresh.failures[0].error


@pytest.mark.parametrize(
    ("code", "said"), [("1/0", "ZeroDivisionError"), ("import sys; sys.exit(3)", "SystemExit: 3"), ("(", "SyntaxError")]
)
def test_a_broken_plug_in_hides_no_healthy_one(outsider, code: str, said: str) -> None:
    name = f"broken_{said[:4].lower()}"
    fresh = outsider(name, code)
    assert fresh.names("normalizer") == ["plain"]
    assert [(failure.source, said in failure.error) for failure in fresh.failures] == [(name, True)]
    assert fresh.outside == [f"theirs ({name})"]


def test_two_packages_with_modules_of_one_name_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "twice_named.py").write_text("")
    for package in ("theirs", "others"):
        info = tmp_path / f"{package}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\nmine = twice_named\n")
    monkeypatch.setattr(module, "_HOMES", {"normalizer": ()})
    fresh = Registry()
    assert fresh.names("normalizer") == []
    (failure,) = fresh.failures
    assert failure.source == "twice_named"
    assert "the packages others and theirs have modules" in failure.error or "theirs and others" in failure.error


def test_the_nearest_name_is_suggested() -> None:
    fresh = Registry()
    with pytest.raises(SpecError, match=r"unknown kind of plug-in 'metod'; did you mean 'method'\?"):
        fresh.names("metod")
