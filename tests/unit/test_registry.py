"""The one door for plug-ins: who owns a name, and what a broken plug-in may not do."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from benchmark import registry as module
from benchmark.errors import SpecError
from benchmark.registry import ENTRY_POINT_GROUP, Registry


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

@registry.REGISTRY.register("normalizer", "plain")
class {owner}:
    pass
"""


def test_a_name_has_one_owner() -> None:
    fresh = Registry()

    class One:
        pass

    class Other:
        pass

    assert fresh.register("method", "a")(One) is One
    fresh.register("method", "a")(One)  # a module that is imported twice is no second owner
    with pytest.raises(SpecError, match=r"claimed by both .*One and .*Other; rename"):
        fresh.register("method", "a")(Other)


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


def test_the_nearest_name_is_suggested() -> None:
    fresh = Registry()
    with pytest.raises(SpecError, match=r"unknown kind of plug-in 'metod'; did you mean 'method'\?"):
        fresh.names("metod")
