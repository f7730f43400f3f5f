"""The synthetic corpora: what the grammars say, who says it, and that the cache never serves what was not written."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import benchmark
from benchmark.corpora import _espeak, _grammar, _speech, synthetic
from benchmark.errors import DataError, SpecError

needs_espeak = pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import espeakng_loader"], capture_output=True).returncode != 0,
    reason="espeakng-loader is not installed",
)
LANGUAGES = ["bn", "de", "en", "hi", "mr", "ta", "tr"]
WORDS = {"hi": (300, 380), **{language: (80, 260) for language in LANGUAGES if language != "hi"}}
FIRST = {
    "train": ["रवि रात को कविता लिखता है।", "मीना कहाँ काम करती है?", "मेरा भाई चाँद देख रहा है।"],
    "dev": ["लक्ष्मी रविवार को हिंदी सीखती है।", "मंदिर में ग्यारह लोग हैं।", "अंडा सौ रुपये का है।"],
    "test": ["सब लोग हमेशा हॉकी खेलते हैं।", "हमारी दीवार लाल नहीं है।", "नेहा इतिहास सीख रही है।"],
    "test-unseen-voice": ["अस्पताल में एक काला हाथी है।", "राहुल क्यों कबड्डी खेलता है?", "हाँ, मैं किताब पढ़ता हूँ।"],
}
NUKTA, CHANDRABINDU = "\u093c", "\u0901"


@pytest.fixture(autouse=True)
def small_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of its own for every test, in blocks of four utterances."""
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(synthetic, "BLOCK", 4)
    return tmp_path / "cache"


def corpus(language: str = "hi") -> synthetic.SyntheticCorpus:
    found: synthetic.SyntheticCorpus = benchmark.get("corpus", f"synthetic-{language}")
    return found


# --- sentences ----------------------------------------------------------------------------------------------------


def test_every_word_list_is_a_corpus() -> None:
    assert _grammar.languages() == LANGUAGES
    assert {f"synthetic-{language}" for language in LANGUAGES} <= set(benchmark.names("corpus"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_vocabulary_and_patterns(language: str) -> None:
    grammar = _grammar.grammar(language)
    low, high = WORDS[language]
    assert low <= len(grammar.words()) <= high
    assert len({pattern.group for pattern in grammar.patterns}) >= (10 if language == "hi" else 4)
    said = {word for text in _grammar.texts(language)["train"] for word in _grammar.bare(text).split()}
    assert said == {_grammar.bare(word) for word in grammar.words()}, "a word that training never says"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentence_is_in_two_splits(language: str) -> None:
    texts = _grammar.texts(language)
    assert {split: len(part) for split, part in texts.items()} == _grammar.SIZES
    everything = [_grammar.bare(text) for part in texts.values() for text in part]
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_are_whole(language: str) -> None:
    for text in _grammar.texts(language)["test"]:
        assert "{" not in text
        assert "  " not in text
        assert text == unicodedata.normalize("NFC", text).strip()
        assert text == text[0].upper() + text[1:]
        assert text[-1] in "।.?"


@pytest.mark.parametrize("split", _grammar.SIZES)
def test_hindi_gives_the_normaliser_work(split: str) -> None:
    text = " ".join(_grammar.texts("hi")[split])
    for mark in (NUKTA, CHANDRABINDU, "।", "?", ",", "-"):
        assert mark in text


def test_hindi_words_are_said_often_enough_to_be_learnt() -> None:
    said = [word for text in _grammar.texts("hi")["train"] for word in _grammar.bare(text).split()]
    _, counts = np.unique(said, return_counts=True)
    assert counts.min() >= 10


@pytest.mark.parametrize("split", FIRST)
def test_hindi_sentences_stay_as_they_are(split: str) -> None:
    assert list(_grammar.texts("hi")[split][:3]) == FIRST[split]


def test_agreement_comes_from_tables() -> None:
    raw = (
        "language: xx\nvoice: xx\nrevision: 1\nclasses:\n  adj: {forms: [m, f], rows: [bon | bonne]}\n"
        "  thing_f: '{adj.f} table'\npatterns: {one: {'la {thing_f}': 1}}"
    )
    grammar = _grammar.parse(raw.encode(), "xx.yaml")
    assert grammar.sentence(np.zeros(64)) == "La bonne table"


def test_a_word_is_not_drawn_twice_for_one_class() -> None:
    raw = "language: xx\nvoice: xx\nrevision: 1\nclasses: {name: a | b}\npatterns: {one: {'{name} and {name}': 1}}"
    grammar = _grammar.parse(raw.encode(), "xx.yaml")
    assert grammar.sentence(np.zeros(64)) is None
    assert grammar.sentence(np.array([0, 0, 0.9, *np.zeros(61)])) == "A and b"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\xff", "xx.yaml: not a word list (UnicodeDecodeError"),
        (b"a: [", "xx.yaml: not a word list (ParserError"),
        (b"language: xx", "xx.yaml: not a word list (KeyError: 'classes')"),
        (
            b"language: xx\nvoice: xx\nrevision: 1\nclasses: {a: {forms: [m, f], rows: [x]}}\npatterns: {p: {}}",
            "xx.yaml: class a: the row 'x' needs 2 cells",
        ),
        (
            b"language: xx\nvoice: xx\nrevision: 1\nclasses: {a: x}\npatterns: {p: {'{a.f}': 1}}",
            "xx.yaml: '{a.f}' asks for {a.f}, which is no class",
        ),
    ],
)
def test_bad_word_lists_are_named(raw: bytes, said: str) -> None:
    with pytest.raises(DataError) as caught:
        _grammar.parse(raw, "xx.yaml")
    assert str(caught.value).startswith(said)


# --- speakers -----------------------------------------------------------------------------------------------------


def test_speakers_do_not_depend_on_the_limit_or_the_process() -> None:
    drawn = [_speech.speaker("synthetic-hi:1:1", "train", index) for index in range(8)]
    assert [one.variant for one in drawn] == ["m1", "f1", "m3", "m7", "m7", "f4", "f1", "f4"]
    assert drawn[3] == _speech.speaker("synthetic-hi:1:1", "train", 3)


def test_unseen_voices_are_in_one_split_only() -> None:
    unseen = set(_speech.speakers("test-unseen-voice"))
    assert len(unseen) == 3
    assert all(unseen.isdisjoint(_speech.speakers(split)) for split in ("train", "dev", "test"))
    assert len(_speech.speakers("train")) == 8


def test_noise_and_loudness_are_as_drawn() -> None:
    sound = (10_000 * np.sin(np.arange(32_000) / 5)).astype("<i2")
    who = _speech.Speaker("m1", rate=160, pitch=50, snr_db=30.0, peak=0.5)
    mixed = _speech.in_room(sound, who, np.random.default_rng(0)).astype(float)
    voice = sound * (0.5 * 32767 / 10_000)
    noise = mixed - voice
    assert 10 * np.log10(np.mean(voice**2) / np.mean(noise**2)) == pytest.approx(30, abs=0.2)


# --- audio and its cache ------------------------------------------------------------------------------------------


@needs_espeak
def test_audio_is_short_speech_at_16_khz() -> None:
    split = corpus().load("test", limit=6)
    assert list(split.texts) == list(_grammar.texts("hi")["test"][:6])
    assert split.ids[0] == "synthetic-hi/test/00000"
    for index in range(len(split)):
        sound = split.waveform(index)
        assert sound.dtype == np.float32
        assert 0.8 * 16_000 < sound.size <= 3 * 16_000
        assert 0.2 < np.abs(sound).max() <= 1
    with pytest.raises(IndexError):
        split.waveform(6)


@needs_espeak
def test_only_what_is_asked_for_is_made(small_cache: Path) -> None:
    corpus().load("test", limit=3)
    assert sorted(path.name for path in small_cache.rglob("*.npy")) == ["00000.npy"]
    folder = next(small_cache.rglob("*.npy")).parent
    for name in (".00004.npy-killed", ".00012.npy-writing"):
        (folder / name).write_bytes(b"half")
    corpus().load("test", limit=5)
    assert sorted(path.name for path in small_cache.rglob("*.npy")) == ["00000.npy", "00004.npy"]
    assert [path.name for path in folder.glob(".0*")] == [".00012.npy-writing"], "what a killed process left"


@needs_espeak
def test_the_limit_changes_no_utterance() -> None:
    few, more = corpus().load("dev", limit=2), corpus().load("dev", limit=6)
    assert few.data_hash == corpus().load("dev", limit=2).data_hash != more.data_hash
    assert list(few.speakers) == list(more.speakers[:2])
    assert few.digests == more.digests[:2] and len(set(more.digests)) == 6
    np.testing.assert_array_equal(few.waveform(1), more.waveform(1))


@needs_espeak
def test_audio_made_again_elsewhere_is_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("espeak-ng is byte-identical only where each utterance has a forked process")
    first = corpus().load("train", limit=8).data_hash
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "other"))
    assert corpus().load("train", limit=8).data_hash == first


@needs_espeak
@pytest.mark.parametrize("damage", ["cut", "flip", "no index", "bad index", "empty"])
def test_damaged_blocks_are_made_again(damage: str, small_cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = corpus().load("test", limit=4)
    samples, index = next(small_cache.rglob("*.npy")), next(small_cache.rglob("*.json"))
    raw = samples.read_bytes()
    breaks: dict[str, Callable[[], object]] = {
        "cut": lambda: samples.write_bytes(raw[:-1000]),
        "flip": lambda: samples.write_bytes(raw[:5000] + bytes([raw[5000] ^ 1]) + raw[5001:]),
        "no index": index.unlink,
        "bad index": lambda: index.write_text("{"),
        "empty": lambda: samples.write_bytes(b""),
    }
    breaks[damage]()
    assert corpus().load("test", limit=4).data_hash == good.data_hash
    assert samples.read_bytes() == raw
    assert damage == "no index" or "it is made again" in caplog.text


@needs_espeak
def test_two_writers_make_each_block_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    save = synthetic._save

    def counted(stem: Path, sounds: list[np.ndarray]) -> None:
        made.append(int(stem.name))
        save(stem, sounds)

    monkeypatch.setattr(synthetic, "_save", counted)
    hashes: list[str] = []
    writers = [threading.Thread(target=lambda: hashes.append(corpus().load("dev", 8).data_hash)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert made == [0, 4]
    assert len(hashes) == 2
    assert len(set(hashes)) == 1


@needs_espeak
def test_overlong_sentences_are_said_faster() -> None:
    text = "मेरी माँ रोज़ सुबह बाज़ार जाती है और मेरे पिता रात को किताब पढ़ते हैं।"
    who = _speech.Speaker("f1", rate=145, pitch=50, snr_db=30.0, peak=0.5)
    with _speech.Voice("hi") as voice:
        assert 2.5 * 16_000 < voice.say(text, who).size <= 3 * 16_000
        with pytest.raises(DataError, match="shorten the pattern"):
            voice.say(" ".join([text] * 4), who)


def test_the_word_list_is_part_of_the_version() -> None:
    grammar = _grammar.grammar("hi")
    assert corpus().version.endswith(grammar.digest[:8])
    assert corpus().language == "hi"
    assert corpus().synthetic
    assert corpus().card().startswith("SYNTHETIC speech by espeak-ng")
    assert "do not carry over to real speech" in corpus().card()


# --- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "limit", "said"),
    [
        ("tests", None, "synthetic-hi has no split 'tests'; did you mean 'test'?"),
        ("test", 0, "synthetic-hi/test: limit = 0: ask for at least one utterance"),
    ],
)
def test_bad_requests_are_named(split: str, limit: int | None, said: str) -> None:
    with pytest.raises(DataError) as caught:
        corpus().load(split, limit)
    assert str(caught.value) == said


def test_unknown_options_are_refused() -> None:
    with pytest.raises(SpecError, match="unknown key 'voice'"):
        benchmark.get("corpus", "synthetic-hi", voice="m1")


def test_a_cache_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot write audio .* point PRUNEBENCH_CACHE to a folder with room"):
        corpus().load("test", 1)


@pytest.mark.parametrize(
    ("loader", "said"),
    [
        (
            "raise ImportError('no such wheel')",
            r"cannot speak \(ImportError: no such wheel\); reinstall it: pip install",
        ),
        ("import os; os._exit(7)", r"worker died at its start \(exit status 7\); reinstall it"),
        ("get_library_path = lambda: '/nowhere.so'", r"cannot speak \(OSError: /nowhere.so"),
    ],
)
def test_a_missing_or_dying_espeak_is_named(
    loader: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "espeakng_loader.py").write_text(loader)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(DataError, match=said):
        corpus().load("test", 1)


@needs_espeak
def test_unknown_voices_are_refused() -> None:
    who = _speech.Speaker("nobody", rate=160, pitch=50, snr_db=30.0, peak=0.5)
    with _speech.Voice("hi") as voice, pytest.raises(DataError, match=r"no voice 'hi\+nobody'"):
        voice.say("राम", who)
    with pytest.raises(DataError, match="no language 'zz'"), _speech.Voice("zz"):
        pass


@needs_espeak
def test_a_worker_that_dies_midway_is_named() -> None:
    who = _speech.Speaker("m1", rate=160, pitch=50, snr_db=30.0, peak=0.5)
    with _speech.Voice("hi") as voice:
        voice._process.kill()
        voice._process.wait()
        with pytest.raises(DataError, match=r"the espeak-ng worker died (before|on) 'राम' .exit status -9"):
            voice.say("राम", who)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_dies_takes_nothing_down() -> None:
    class Dying:
        def speak(self, **_: object) -> bytes:
            os._exit(3)

    frame = _espeak._in_child(Dying(), b'{"variant": "m1", "rate": 1, "pitch": 1, "text": "x"}')  # type: ignore[arg-type]
    status, size = _espeak.HEADER.unpack(frame[: _espeak.HEADER.size])
    assert status == _espeak.FAILED
    assert size == len(frame) - _espeak.HEADER.size
    assert b"espeak-ng died with wait status" in frame


def test_importing_the_corpora_is_torch_free() -> None:
    code = "import sys, benchmark.corpora.synthetic, benchmark.corpora.folder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_one_bad_word_list_takes_no_other_away(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmark.corpora import synthetic
    from benchmark.errors import SpecError
    from benchmark.registry import REGISTRY

    made = synthetic._corpus

    def broken(language: str) -> type:
        if language == "de":
            raise SpecError("words/de.yaml: a slot without words")
        return made(language)

    monkeypatch.setattr(REGISTRY, "failures", [])
    registered: list[str] = []
    monkeypatch.setattr(REGISTRY, "register", lambda kind, name: lambda plugin: registered.append(name))
    monkeypatch.setattr(synthetic, "_corpus", broken)
    synthetic._register_all()
    assert {"synthetic-hi", "synthetic-tr"} <= set(registered) and "synthetic-de" not in registered
    assert [failure.source for failure in REGISTRY.failures] == ["benchmark.corpora.synthetic (words/de.yaml)"]


def test_a_folder_with_our_name_where_the_user_stands_is_not_taken_for_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.corpora._speech import Voice

    (tmp_path / "benchmark").mkdir()
    (tmp_path / "benchmark" / "__init__.py").write_text("raise ImportError('not this one')")
    monkeypatch.chdir(tmp_path)
    with Voice("hi"):
        pass
