"""From a text to a normaliser: what a signature says can be asked for, and nothing is ever guessed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.api import Config, Normalizer
from benchmark.errors import SpecError
from benchmark.registry import REGISTRY, Registry
from benchmark.text import chosen as module
from benchmark.text.chosen import chosen, for_language, resolve, several
from tests.fake_runs import Plain


class ManyConfig(Config):
    flag: bool = True
    word: str = "on"
    number: int = 3
    share: float = 0.5
    kind: Literal["word", "char", ","] = "word"
    maybe: int | None = 1
    list_of: tuple[str, ...] = ()


class Many(Plain):
    """Options of every type."""

    Config: ClassVar[type[Config]] = ManyConfig
    version = "2.1"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """An empty registry, in the place of the real one."""
    fresh = Registry()
    fresh._loaded |= {"", "normalizers"}
    monkeypatch.setattr(module, "REGISTRY", fresh)
    return fresh


def add(registry: Registry, name: str, *languages: str, base: type[Plain] = Plain, **more: Any) -> type[Normalizer]:
    members = {"languages": languages, "__qualname__": name, "__module__": "tests.made", **more}
    return registry.register("normalizer", name)(type(name, (base,), members))


def said(call: Any, *arguments: str) -> str:
    with pytest.raises(SpecError) as raised:
        call(*arguments)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# --- by name ------------------------------------------------------------------------------------------------------


HINDI = f"hindi:{REGISTRY.lookup('normalizer', 'hindi').version}"


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        ("hindi", HINDI),
        (" hindi[] ", HINDI),
        (HINDI, HINDI),
        ("hindi[nasal=off,case=off]", f"{HINDI}[case=off,nasal=off]"),
        (f"{HINDI}[ nasal = false , case = FALSE ]", f"{HINDI}[case=off,nasal=off]"),
        ("hindi[nasal=on]", HINDI),
        ("whisper_basic[split_letters=true]", "whisper_basic:1[split_letters=on]"),
    ],
)
def test_a_text_names_a_normaliser(text: str, signature: str) -> None:
    assert chosen(text).signature() == signature
    assert chosen(text) is chosen(text)  # what it remembers of its words is remembered for all


@pytest.mark.parametrize("name", REGISTRY.names("normalizer"))
def test_each_signature_can_be_asked_for(name: str) -> None:
    plugin = REGISTRY.lookup("normalizer", name)
    switches = [key for key, field in plugin.Config.model_fields.items() if field.annotation is bool and field.default]
    for options in ({}, *({switch: False} for switch in switches)):
        one = REGISTRY.get("normalizer", name, **options)
        again = chosen(one.signature())
        assert type(again) is plugin
        assert again.config == one.config
        assert again.signature() == one.signature()


@given(
    st.builds(
        ManyConfig,
        flag=st.booleans(),
        word=st.text("abc.-_", min_size=1),
        number=st.integers(),
        share=st.floats(allow_nan=False),
        kind=st.sampled_from(["word", "char", ","]),
        maybe=st.none() | st.integers(),
        list_of=st.lists(st.text("a,' ")).map(tuple),
    )
)
def test_options_of_every_type_come_back(config: ManyConfig) -> None:
    fresh = Registry()
    fresh._loaded |= {"", "normalizers"}
    fresh.register("normalizer", "many")(Many)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "REGISTRY", fresh)
        signature = Many(**config.model_dump()).signature()
        assert chosen(signature).config == config


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hidni", ["unknown normalizer 'hidni'", "did you mean 'hindi'?"]),
        ("hindi[nasl=off]", ["'hindi' has no option 'nasl'", "did you mean 'nasal'?"]),
        ("identity[x=1]", ["'identity' has no option 'x'", "it has none"]),
        ("hindi[nasal=maybe]", ["hindi[nasal=maybe]", "valid boolean"]),
        ("hindi[nasal]", ["'nasal' is no option", "NAME[option=value,...]"]),
        ("hindi[nasal=on,nasal=off]", ["nasal is set twice"]),
        ("hindi[nasal=on", ["cannot be read", "NAME[option=value,...]"]),
        ("", ["normalizer ''", "cannot be read"]),
        ("hin di", ["cannot be read"]),
        ("hindi:99", ["hindi:99", "version 99 was asked for", "this is version "]),
        ("auto", ["takes its language from a corpus"]),
        ("auto[case=off]", ["stands alone"]),
    ],
)
def test_what_cannot_be_meant_is_one_line_with_the_way_out(text: str, parts: list[str]) -> None:
    line = said(chosen, text)
    assert all(part in line for part in parts), line


def test_a_normaliser_that_cannot_be_made_is_named(registry: Registry) -> None:
    def broken(self: Any, **options: Any) -> None:
        raise KeyError("table")

    add(registry, "broken", __init__=broken)
    assert said(chosen, "broken") == "normalizer 'broken' (tests.made.broken) cannot be made: KeyError: 'table'"


def test_several_are_parted_outside_of_brackets() -> None:
    assert several("hindi[nasal=off,case=off], whisper_basic,auto") == [
        "hindi[nasal=off,case=off]",
        "whisper_basic",
        "auto",
    ]
    assert "an empty name" in said(several, "hindi,")
    assert "hindi is named twice" in said(several, "hindi,hindi")


# --- by language --------------------------------------------------------------------------------------------------


def test_a_language_has_its_own_normaliser(registry: Registry) -> None:
    add(registry, "ours", "xa", "xb")
    add(registry, "theirs", "xa", "xc", reference=True)
    add(registry, "default")
    assert [for_language(code).name for code in ("xa", "xb", "xc")] == ["ours", "ours", "theirs"]
    assert resolve("auto", "xc").name == resolve(" auto", "xc").name == "theirs"
    assert resolve("default", "xc").name == "default"


def test_hindi_is_the_normaliser_of_hindi() -> None:
    assert resolve("auto", "hi").name == "hindi"


def test_a_language_without_a_normaliser_gets_none(registry: Registry) -> None:
    add(registry, "ours", "xa")
    add(registry, "default")
    line = said(for_language, "qq")
    named = ("'qq'", "--normalizer default", "docs/add-a-language.md", "prunebench new normalizer NAME")
    assert all(part in line for part in named)


def test_a_language_with_several_is_not_guessed(registry: Registry) -> None:
    add(registry, "one", "xa")
    add(registry, "two", "xa")
    assert "'xa' has several normalizers (one, two); choose one with --normalizer" in said(for_language, "xa")


def test_a_name_with_two_owners_stands_in_nobodys_way(registry: Registry) -> None:
    add(registry, "ours", "xa")
    add(registry, "twice", "xb")
    with pytest.raises(SpecError, match="claimed by both"):
        add(registry, "twice", "xb", __qualname__="other")
    assert for_language("xa").name == "ours"
    assert "claimed by both" in said(for_language, "xb")


def test_no_torch() -> None:
    code = (
        "import sys; from benchmark.text.chosen import resolve; resolve('auto', 'hi')('हाँ'); assert 'torch' not in sys"
    )
    code += ".modules"
    subprocess.run([sys.executable, "-c", code], check=True)
