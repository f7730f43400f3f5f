"""Corpora of recordings: what is decoded, what is left out and how that is told, and what hashes are made of."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import os
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile

from benchmark.api import Config
from benchmark.corpora import _sounds
from benchmark.corpora._audio import AudioError, decode
from benchmark.corpora._digests import digests
from benchmark.corpora.overlap import shared
from benchmark.corpora.recordings import RecordingsConfig, RecordingsCorpus, RecordingsSplit, Row
from benchmark.errors import DataError, SpecError
from benchmark.registry import REGISTRY

FORMATS = (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"))


def audio(
    seconds: float = 1.0, rate: int = 16_000, channels: int = 1, kind: str = "WAV", subtype: str = "PCM_16"
) -> bytes:
    """A tone of 440 Hz, in the right channel softer than in the left one."""
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)
    noise = np.random.default_rng(0).normal(0, 0.01, (wave.size, channels))
    file = io.BytesIO()
    soundfile.write(file, wave[:, None] * [1.0, 0.5][:channels] + noise, rate, format=kind, subtype=subtype)
    return file.getvalue()


class ListedConfig(RecordingsConfig):
    """A path, as corpora that lie somewhere have one."""

    path: str = "here"


class Listed(RecordingsCorpus):
    """Rows that a test wrote down."""

    name: ClassVar[str] = "listed"
    Config: ClassVar[type[Config]] = ListedConfig
    listed: Iterable[Row] = ()

    def rows(self, split: str) -> Iterable[Row]:
        return self.listed


def corpus(rows: Iterable[Row], **options: Any) -> Listed:
    made = Listed(language="hi", **options)
    made.listed = rows
    return made


def held(name: str, raw: bytes, text: str = "राम", **more: str) -> Row:
    return Row(name, lambda: raw, text, **more)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# --- audio --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "subtype"), FORMATS)
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (48_000, 2), (8_000, 1)])
def test_every_format_becomes_mono_at_16_khz(kind: str, subtype: str, rate: int, channels: int) -> None:
    sound = decode(audio(1.0, rate, channels, kind, subtype), "x")
    assert sound.dtype == np.float32 and sound.ndim == 1
    assert sound.size == pytest.approx(16_000, abs=2500 if kind == "MP3" else 2)
    middle = sound[4_000:12_000]
    assert np.argmax(np.abs(np.fft.rfft(middle))) * 2 == pytest.approx(440, abs=2)
    assert np.abs(middle).max() == pytest.approx(0.5 if channels == 1 else 0.375, abs=0.07)  # the mean of the channels


def test_44100_hz_stereo_keeps_its_waveform() -> None:
    sound = decode(audio(1.0, 44_100, 2, "FLAC"), "x")
    expected = 0.375 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert sound.size == 16_000
    assert np.abs(sound - expected)[100:-100].max() < 0.05


@pytest.mark.parametrize(("kind", "subtype"), FORMATS)
def test_what_is_cut_off_is_found(kind: str, subtype: str) -> None:
    raw = audio(3.0, kind=kind, subtype=subtype)
    decode(raw, "x")
    with pytest.raises(AudioError) as caught:
        decode(raw[: len(raw) * 2 // 3], "some.file")
    assert caught.value.kind == "corrupt audio" and str(caught.value).startswith("some.file: audio ")


def test_an_mp3_that_does_not_count_its_frames_is_read_to_the_end() -> None:
    whole = audio(3.0, kind="MP3", subtype="MPEG_LAYER_III")
    start = whole.index(whole[:2], 2)  # the first frame holds nothing but the count
    assert b"Xing" in whole[:start] or b"Info" in whole[:start]
    raw = whole[start:]
    with soundfile.SoundFile(io.BytesIO(raw)) as file:
        assert file.frames < 40_000, "libsndfile guesses too few here, and reads no more"
    sound = decode(raw, "x")
    assert sound.size == pytest.approx(48_000, abs=2500)  # with the encoder's padding, which is told by the count too
    assert np.abs(sound[40_000:44_000]).max() == pytest.approx(0.5, abs=0.07)
    assert decode(raw[: len(raw) // 2], "x").size < 30_000  # and where it ends is anybody's guess


def test_an_mp3_with_tags_is_read_and_its_end_missed() -> None:
    tag = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)
    raw = tag + audio(3.0, kind="MP3", subtype="MPEG_LAYER_III")
    assert decode(raw, "x").size == pytest.approx(48_000, abs=2500)
    with pytest.raises(AudioError, match="cut off"):
        decode(raw[: len(raw) // 2], "x")


@pytest.mark.parametrize(
    ("raw", "kind", "said"),
    [
        (b"", "empty audio", "audio file is empty (0 bytes)"),
        (audio(0.0), "empty audio", "audio is empty"),
        (b"this is no audio", "corrupt audio", "audio cannot be decoded ("),
    ],
)
def test_what_is_no_audio_is_named(raw: bytes, kind: str, said: str) -> None:
    with pytest.raises(AudioError) as caught:
        decode(raw, "x")
    assert caught.value.kind == kind and caught.value.detail.startswith(said)


# --- faults -------------------------------------------------------------------------------------------------------


def missing() -> bytes:
    raise FileNotFoundError


def faulty() -> list[Row]:
    """One good utterance after each fault, each at a place of its own."""
    good = audio()
    rows = [
        Row("a", missing, "x", where="line 1"),
        held("b", b"", where="line 2"),
        held("c", b"no audio", where="line 3"),
        held("d", good, " ", where="line 4"),
        held("e", good, where="line 5"),
        held("e", good, "again", where="line 6"),
        held("f", audio(31.0), where="line 7"),
        held("g", audio(0.1), where="line 8"),
        held("h", audio(2.0), where="line 9"),
    ]
    return rows


KIND = {
    "line 1": "missing audio",
    "line 2": "empty audio",
    "line 3": "corrupt audio",
    "line 4": "empty text",
    "line 6": "duplicate id",
    "line 7": "too long",
    "line 8": "too short",
}


def test_faults_are_counted_named_and_listed(caplog: pytest.LogCaptureFixture) -> None:
    split = corpus(faulty(), faulty="exclude", shortest=0.5).load("train")
    assert split.ids == ["e", "h"] and split.texts == ["राम", "राम"]
    assert {fault.where: fault.kind for fault in split.faults} == KIND
    assert sorted(split.skipped) == sorted(KIND) and split.seconds.tolist() == [1.0, 2.0]
    assert (
        split.report is not None
        and split.report.name == "exclusions-listed-hi-train-evaluation-longest-30-shortest-0.5.csv"
    )
    with split.report.open(newline="") as file:
        table = list(csv.DictReader(file))
    assert {row["where"]: row["kind"] for row in table} == KIND
    assert [tuple(row.values()) for row in table] == [tuple(fault) for fault in split.faults]
    said = (
        "listed hi/train: left out 7 of 9 utterances (1 missing audio, 1 corrupt audio, 1 empty audio, 1 empty text, "
        f"1 too long, 1 too short, 1 duplicate id); listed in {split.report}"
    )
    assert said in caplog.text


def test_each_load_has_a_report_of_its_own_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    made = corpus(faulty(), faulty="exclude", long_form=True)
    training = made.load_for_training("train")
    loads = [training, made.load("train"), made.load("train", limit=1), made.load_for_training("train", limit=1)]
    reports = [split.report for split in loads]
    assert len(set(reports)) == 4 and training.report is not None
    for split in loads:
        assert split.report is not None and len(split.report.read_text().splitlines()) == len(split.faults) + 1
    assert training.report.name == "exclusions-listed-hi-train-training-longest-30.csv"
    made.listed = [held("e", audio())]
    assert made.load("train").report is None and training.report.exists(), (
        "another's report is no business of this load"
    )
    made.listed = faulty()
    assert made.load_for_training("train").report == training.report
    assert caplog.text.count(f"listed in {training.report}") == 1


def test_nothing_left_out_is_nothing_said(caplog: pytest.LogCaptureFixture) -> None:
    made = corpus(faulty(), faulty="exclude")
    report = made.load("train").report
    assert report is not None and report.exists()
    caplog.clear()
    made.listed = [held("e", audio())]
    split = made.load("train")
    assert not split.skipped and split.report is None and not report.exists() and not caplog.text


@pytest.mark.parametrize("where", [place for place in KIND if KIND[place] not in ("too long", "too short")])
def test_a_fault_is_fatal_unless_the_spec_says_otherwise(where: str) -> None:
    rows = [row for row in faulty() if row.where in (where, "line 5")]
    with pytest.raises(DataError) as caught:
        corpus(rows).load("train")
    said = str(caught.value)
    assert said.startswith(f"{where}: ") and "\n" not in said
    assert said.endswith("; repair it, or leave such utterances out with faulty: exclude")


def test_limits_of_length_are_never_fatal() -> None:
    rows = [row for row in faulty() if row.where in ("line 5", "line 7", "line 8")]
    split = corpus(rows, shortest=0.5).load("test")
    assert split.ids == ["e"] and [fault.kind for fault in split.faults] == ["too long", "too short"]
    assert split.faults[0].detail == "31.00 s, and longest is 30 s"
    assert corpus(rows, longest=None).load("test").ids == ["e", "f", "g"]


def test_long_form_leaves_long_speech_out_of_training_alone() -> None:
    rows = [held("short", audio()), held("long", audio(31.0))]
    made = corpus(rows, long_form=True)
    assert made.load("test").ids == ["short", "long"]
    assert made.load_for_training("train").ids == ["short"]
    assert corpus(rows).load("test").ids == ["short"]


def test_the_limit_counts_good_utterances() -> None:
    rows = [held(str(number), b"" if number % 2 else audio(0.2)) for number in range(10)]
    split = corpus(rows, faulty="exclude").load("train", limit=3)
    assert split.ids == ["0", "2", "4"] and len(split.skipped) == 2
    with pytest.raises(DataError, match="limit = 0: ask for at least one utterance"):
        corpus(rows).load("train", limit=0)


def test_a_split_of_which_nothing_is_left_is_an_error() -> None:
    with pytest.raises(
        DataError, match=r"none of the 2 utterances of 'train' can be used \(2 empty audio\); see .*csv"
    ):
        corpus([held("a", b""), held("b", b"")], faulty="exclude").load("train")
    with pytest.raises(DataError, match="split 'train' lists no utterance"):
        corpus([]).load("train")


def test_the_language_is_a_code_and_options_are_checked() -> None:
    for options in ({"language": "Hindi"}, {"language": "hi", "faulty": "ignore"}, {"language": "hi", "longest": 0}):
        with pytest.raises(SpecError):
            Listed(**options)


# --- hashes -------------------------------------------------------------------------------------------------------


def test_hashes_are_over_ids_texts_and_bytes() -> None:
    first, second = audio(1.0), audio(0.5, kind="FLAC")
    split = corpus([held("a", first, "एक"), held("b", second, "दो", speaker="s")]).load("test")
    expected = hashlib.sha256()
    for name, text, raw in (("a", "एक", first), ("b", "दो", second)):
        for part in (name.encode(), text.encode(), hashlib.sha256(raw).digest()):
            expected.update(len(part).to_bytes(8, "little") + part)
    assert split.data_hash == expected.hexdigest()
    version = hashlib.sha256()
    for parts in (("test", "a", "एक", "", first), ("test", "b", "दो", "s", second)):
        for part in (*parts[:4], hashlib.sha256(parts[4]).hexdigest()):  # type: ignore[arg-type]
            version.update(f"{len(part.encode())}:{part}".encode())  # type: ignore[union-attr]
    about = corpus([held("a", first, "एक"), held("b", second, "दो", speaker="s")]).identity(["test"])
    assert about == {"name": "listed", "options": {"language": "hi"}, "version": f"1-{version.hexdigest()[:16]}"}


def test_the_identity_knows_what_changes_results_and_no_place() -> None:
    rows = [held("a", audio())]
    plain = corpus(rows).identity(["test"])
    assert corpus(rows, path="elsewhere", faulty="exclude", longest=30.0).identity(["test"]) == plain
    for options in ({"longest": 20.0}, {"shortest": 0.1}, {"long_form": True}):
        assert corpus(rows, **options).identity(["test"]) != plain
    assert corpus([held("a", audio(0.5))]).identity(["test"]) != plain


def test_missing_audio_has_an_identity_where_it_is_left_out() -> None:
    rows = [Row("a", missing, "x", where="line 1"), held("b", audio())]
    assert corpus(rows, faulty="exclude").identity(["t"]) != corpus(rows[1:], faulty="exclude").identity(["t"])
    with pytest.raises(DataError, match="line 1: audio file is missing; repair it"):
        corpus(rows).identity(["t"])


# --- what is remembered -------------------------------------------------------------------------------------------


def counting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by the place of each audio that is decoded to look for faults."""
    heard: list[str] = []
    real = _sounds.decode

    def count(raw: bytes, where: str) -> np.ndarray:
        heard.append(where)
        return real(raw, where)

    monkeypatch.setattr(_sounds, "decode", count)
    return heard


def test_audio_is_decoded_once_and_again_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for number, file in enumerate(files):
        file.write_bytes(audio(1.0 + number))
    rows = [Row(file.stem, file, "x") for file in files]
    heard = counting(monkeypatch)
    before = corpus(rows).load("train")
    assert sorted(heard) == sorted(map(str, files))
    again = corpus(rows, faulty="exclude").load("train", limit=2)
    assert len(heard) == 2 and again.data_hash == before.data_hash and again.seconds.tolist() == [1.0, 2.0]
    files[0].write_bytes(audio(0.25))
    changed = corpus(rows).load("train")
    assert heard[2:] == [str(files[0])] and changed.seconds.tolist() == [0.25, 2.0]
    assert changed.data_hash != before.data_hash


def test_bytes_with_a_stamp_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []

    def row(stamp: str, seconds: float) -> Row:
        def read() -> bytes:
            reads.append(stamp)
            return audio(seconds)

        return Row("a", read, "x", stamp=stamp)

    first = corpus([row("1", 1.0)]).load("train")
    count = len(reads)
    assert corpus([row("1", 1.0)]).load("train").data_hash == first.data_hash and len(reads) == count
    assert corpus([row("2", 0.5)]).load("train").data_hash != first.data_hash


@pytest.mark.parametrize(
    "damage", [lambda file: file.write_bytes(b"{"), lambda file: file.write_text('{"digests": 1}')]
)
def test_a_damaged_memory_is_made_again(
    damage: Callable[[Path], object], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = counting(monkeypatch)
    before = corpus([held("a", audio())]).load("train")
    (file,) = (cache / "sounds").glob("*.json")
    damage(file)
    assert corpus([held("a", audio())]).load("train").data_hash == before.data_hash and len(heard) == 2


def test_a_cache_that_cannot_be_written_costs_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        split = corpus([held("a", audio()), held("b", b"")], faulty="exclude").load("train")
    assert split.ids == ["a"] and split.report is None and "cannot be written" in caplog.text
    assert "left out 1 of 2 utterances (1 empty audio): b" in caplog.text


def test_audio_that_breaks_after_loading(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(audio())
    split = corpus([Row("a", tmp_path / "a.wav", "x")]).load("train")
    assert pickle.loads(pickle.dumps(split)).waveform(0).size == 16_000  # workers get splits so
    (tmp_path / "a.wav").unlink()
    with pytest.raises(AudioError, match=r"a\.wav: audio file is missing"):
        split.waveform(0)


def test_other_audio_under_the_old_hash_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(audio(1.0))
    split = corpus([Row("a", file, "x")]).load("train")
    file.write_bytes(audio(0.5))
    with pytest.raises(DataError, match=r"a\.wav: the audio changed since it was loaded; run it again"):
        split.waveform(0)
    file.write_bytes(audio(1.0))
    assert split.waveform(0).size == 16_000


def test_a_change_is_seen_where_size_and_time_stay(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(audio(1.0))
    about, before = file.stat(), corpus([Row("a", file, "x")])
    loaded, identity = before.load("train").data_hash, before.identity(["train"])
    file.write_bytes(bytes(reversed(audio(1.0)[44:])).join((audio(1.0)[:44], b"")))
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert file.stat().st_mtime_ns == about.st_mtime_ns and file.stat().st_size == about.st_size
    after = corpus([Row("a", file, "x")])
    assert after.load("train").data_hash != loaded and after.identity(["train"]) != identity


@pytest.mark.parametrize("name", ["manifest", "folder", "common_voice", "fleurs", "librispeech", "dataset"])
@pytest.mark.parametrize("named", ["प" * 100, "x/" * 3000, "~nobody-of-that-name/x"])
def test_an_option_that_can_be_no_path_is_one_line(name: str, named: str) -> None:
    option = "source" if name == "dataset" else "path"
    with pytest.raises(DataError) as caught:
        _ = REGISTRY.get("corpus", name, language="hi", **{option: named}).splits
    assert str(caught.value).startswith(f"corpus {name}: {named!r:.80} cannot be looked for (")
    assert str(caught.value).endswith(f"; check the option {option}") and len(str(caught.value)) < 250


def test_a_file_without_a_digest_is_not_called_audio(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model\.safetensors: the file is missing"):
        digests([tmp_path / "model.safetensors"])


def test_audio_that_is_in_both_splits_is_counted(tmp_path: Path) -> None:
    sounds = [audio(0.2 + 0.1 * number) for number in range(5)]
    (tmp_path / "a.wav").write_bytes(sounds[1])
    train = corpus([held(f"train{number}", sounds[number]) for number in range(4)]).load("train")
    rows = [held("x", sounds[3], "सीता"), Row("y", tmp_path / "a.wav", "y"), held("z", sounds[4]), held("w", sounds[3])]
    test = corpus(rows).load("test")
    assert train.digests == [hashlib.sha256(sound).hexdigest() for sound in sounds[:4]]
    assert shared(train, test) == 3 and shared(test, train) == 2
    assert shared(train, corpus([held("z", sounds[4])]).load("test")) == 0


def test_a_folder_is_no_audio_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").mkdir()
    split: RecordingsSplit = corpus([Row("a", tmp_path / "a.wav", "x"), held("b", audio())], faulty="exclude").load(
        "train"
    )
    assert [fault.kind for fault in split.faults] == ["missing audio"]
