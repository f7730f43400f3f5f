"""The corpus ``folder``: every layout and format is read, and whatever is wrong is named with its place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import benchmark
from benchmark.corpora.folder import FolderSplit
from benchmark.errors import DataError, SpecError

RATE = 16_000


def tone(seconds: float = 0.5, rate: int = RATE, channels: int = 1) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1)


def put(folder: Path, name: str, rate: int = RATE, channels: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / name, tone(rate=rate, channels=channels), rate)
    return folder / name


def load(root: Path, split: str = "test", limit: int | None = None, **options: Any) -> FolderSplit:
    found: FolderSplit = benchmark.get("corpus", "folder", path=str(root), language="hi", **options).load(split, limit)
    return found


def error(root: Path, split: str = "test", **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load(root, split, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A corpus of three utterances with metadata.csv."""
    for name in ("a.wav", "b.flac", "c.wav"):
        put(tmp_path / "test", name)
    (tmp_path / "test" / "metadata.csv").write_text(
        'file,text,speaker\nb.flac,"हाँ, मैं हूँ।",s1\na.wav,राम,s2\nc.wav,सीता,\n', encoding="utf-8"
    )
    return tmp_path


# --- what is read -------------------------------------------------------------------------------------------------


def test_csv(three: Path) -> None:
    split = load(three)
    assert list(split.ids) == ["b.flac", "a.wav", "c.wav"]
    assert list(split.texts) == ["हाँ, मैं हूँ।", "राम", "सीता"]
    assert list(split.speakers) == ["s1", "s2", ""]
    assert split.skipped == []
    np.testing.assert_allclose(split.waveform(0), tone()[:, 0], atol=1e-3)
    assert split.waveform(0).dtype == np.float32


def test_csv_with_byte_order_mark(three: Path) -> None:
    path = three / "test" / "metadata.csv"
    before = load(three).data_hash
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load(three).data_hash == before


def test_jsonl(tmp_path: Path) -> None:
    put(tmp_path / "test" / "clips", "a.wav")
    row = {"file": "clips/a.wav", "text": "राम", "speaker": "s"}
    (tmp_path / "test" / "metadata.jsonl").write_text(json.dumps(row) + "\n\n", encoding="utf-8")
    split = load(tmp_path)
    assert (list(split.ids), list(split.texts), list(split.speakers)) == (["clips/a.wav"], ["राम"], ["s"])


def test_texts_beside_the_audio(tmp_path: Path) -> None:
    for stem, text in (("b", "दो\n"), ("a", "एक")):
        put(tmp_path / "train", f"{stem}.wav")
        (tmp_path / "train" / f"{stem}.txt").write_text(text, encoding="utf-8")
    split = load(tmp_path, "train")
    assert (list(split.ids), list(split.texts)) == (["a", "b"], ["एक", "दो"])


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2), (8_000, 1)])
def test_formats_rates_and_channels(name: str, rate: int, channels: int, tmp_path: Path) -> None:
    put(tmp_path / "test", name, rate, channels).with_suffix(".txt").write_text("राम", encoding="utf-8")
    sound = load(tmp_path).waveform(0)
    assert sound.size == pytest.approx(RATE / 2, abs=RATE * 0.15 if name.endswith("mp3") else 2)
    peak = np.argmax(np.abs(np.fft.rfft(sound))) * RATE / sound.size
    assert peak == pytest.approx(440, abs=5)
    assert np.abs(sound).max() == pytest.approx(0.5, abs=0.1)


def test_limit_and_hash(three: Path) -> None:
    assert list(load(three, limit=2).ids) == ["b.flac", "a.wav"]
    assert load(three, limit=2).data_hash != load(three).data_hash == load(three).data_hash
    before = load(three).data_hash
    soundfile.write(three / "test" / "c.wav", 0.5 * tone(), RATE)
    assert load(three).data_hash != before


def test_the_hash_does_not_depend_on_the_place(three: Path) -> None:
    before = load(three).data_hash
    moved = three.rename(three.with_name("moved"))
    assert load(moved).data_hash == before


# --- what is wrong ------------------------------------------------------------------------------------------------


def break_missing(path: Path) -> None:
    path.unlink()


def break_text(path: Path) -> None:
    path.write_text("this is no audio")


def break_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def break_empty(path: Path) -> None:
    soundfile.write(path, np.zeros((0, 1)), RATE)


def break_nan(path: Path) -> None:
    soundfile.write(path, np.full(100, np.nan), RATE, subtype="FLOAT")


BREAKS = {
    break_missing: "audio file is missing",
    break_text: "audio cannot be decoded (",
    break_cut: "audio is cut off (",
    break_empty: "audio is empty",
    break_nan: "audio holds values that are not finite",
}


@pytest.mark.parametrize("damage", BREAKS)
def test_bad_audio_is_named_or_skipped(damage: object, three: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = three / "test" / "a.wav"
    damage(bad)  # type: ignore[operator]
    said = error(three)
    assert said.startswith(f"{bad}: {BREAKS[damage]}")  # type: ignore[index]
    assert said.endswith("; repair it, or leave it out with skip_corrupt: true")
    split = load(three, skip_corrupt=True)
    assert list(split.ids) == ["b.flac", "c.wav"]
    assert split.skipped == [str(bad)]
    assert f"left out 1 unreadable files: {bad}" in caplog.text
    assert list(load(three, limit=2, skip_corrupt=True).ids) == ["b.flac", "c.wav"], "a skipped file is made up for"


def test_cut_flac_is_found(three: Path) -> None:
    break_cut(three / "test" / "b.flac")
    assert str(three / "test" / "b.flac") in error(three)


def test_audio_that_breaks_after_loading(three: Path) -> None:
    split = load(three)
    (three / "test" / "a.wav").unlink()
    with pytest.raises(DataError, match="audio file is missing"):
        split.waveform(1)


def test_nothing_readable(three: Path) -> None:
    for path in (three / "test").glob("*.*a*"):
        if path.suffix in (".wav", ".flac"):
            path.write_bytes(b"x")
    assert error(three, skip_corrupt=True) == f"{three / 'test'}: none of its 3 audio files can be read"


def test_folders_that_are_not_there(three: Path) -> None:
    assert error(three / "no") == f"corpus folder: {three / 'no'} is not a folder; check the option path"
    (three / "train").mkdir()
    assert error(three, "dev") == f"{three}: has no split 'dev'; there is: test, train"
    assert "has no split '..'" in error(three, "..")
    assert error(three / "train") == f"{three / 'train'}: has no split 'test'; there is: no folders at all"


def test_folder_without_audio(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "notes.txt").write_text("x")
    assert error(tmp_path).startswith(f"{tmp_path / 'test'}: lists no audio; it needs metadata.csv or metadata.jsonl")


def test_audio_without_text(tmp_path: Path) -> None:
    path = put(tmp_path / "test", "a.wav")
    assert error(tmp_path) == f"{path}: has no transcript; expected a.txt beside it, or a metadata file"


def test_a_text_without_audio_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.wav", "b.aiff", "c.aiff"):
        put(tmp_path / "test", name).with_suffix(".txt").write_text("x")
    (tmp_path / "test" / "c.aiff").rename(tmp_path / "test" / "c.AIF")
    for name in ("d.m4a", "d.txt", "e.txt"):
        (tmp_path / "test" / name).write_text("y")
    place = tmp_path / "test" / "d.txt"
    assert error(tmp_path).startswith(f"{place}: no audio beside this text; it can be .aif, .aiff, .flac")
    split = load(tmp_path, faulty="exclude")
    assert split.ids == ["a", "b", "c"]
    assert [(fault.id, fault.kind) for fault in split.faults] == [("d", "missing audio"), ("e", "missing audio")]
    assert f"left out 2 unreadable files: {place}, " in caplog.text
    assert len(load(tmp_path, limit=3)) == 3 and identity(tmp_path, faulty="exclude")


def test_two_metadata_files(three: Path) -> None:
    (three / "test" / "metadata.jsonl").write_text("")
    assert error(three) == f"{three / 'test'}: has metadata.csv and metadata.jsonl; keep one of them"


CSV = {
    "file\na.wav\n": ": column 'text' is missing; there is: file",
    "": ": column 'file' is missing; there is: nothing",
    "file,text\n": ": lists no audio; it needs",
    "file,text\na.wav\n": ", line 2: no text in column 'text'; columns are file, text, speaker",
    "file,text\na.wav,one,two\n": ", line 2: more cells than columns; quote texts with commas",
    "file,text\n,one\n": ", line 2: column 'file' is empty",
    "file,text\na.wav,one\na.wav,two\n": ": 'a.wav' occurs twice; ids must be unique",
    'file,text\na.wav,"one': ", near line 1: not CSV (unexpected end of data)",
}


@pytest.mark.parametrize("text", CSV)
def test_bad_csv_is_named(text: str, three: Path) -> None:
    path = three / "test" / "metadata.csv"
    path.write_text(text)
    assert error(three).startswith(f"{path}{CSV[text]}")


JSONL = {
    "\n{": ", line 2: not JSON (",
    "[1]": ", line 1: not a JSON object; write one object a line",
    '{"text": "x"}': ", line 1: no text in column 'file'; columns are file, text, speaker",
    '{"file": "a.wav", "text": "x", "offset": 2}': ", line 1: is a part of a file (offset 2); cut it",
    '{"file": "a.wav", "text": "\\ud800"}': ", line 1: holds half a character",
    '{"file": "a.wav", "text": 3}': ", line 1: no text in column 'text'; columns are file, text, speaker",
}


@pytest.mark.parametrize("text", JSONL)
def test_bad_jsonl_is_named(text: str, three: Path) -> None:
    (three / "test" / "metadata.csv").unlink()
    path = three / "test" / "metadata.jsonl"
    path.write_text(text)
    assert error(three).startswith(f"{path}{JSONL[text]}")


def test_a_name_that_can_be_none_is_a_fault(three: Path) -> None:
    (three / "test" / "metadata.csv").unlink()
    names = ["a.wav", "b\0.wav", "c" * 300]
    rows = [json.dumps({"file": name, "text": "x"}) for name in names]
    (three / "test" / "metadata.jsonl").write_text("\n".join(rows))
    assert "audio file cannot be read (embedded null byte)" in error(three)
    split = load(three, faulty="exclude")
    assert split.ids == ["a.wav"] and {fault.kind for fault in split.faults} == {"missing audio"}


def test_metadata_that_is_not_utf8(three: Path) -> None:
    path = three / "test" / "metadata.csv"
    path.write_bytes("file,text\na.wav,Köln\n".encode("latin-1"))
    assert error(three) == f"{path}: not UTF-8 (byte 17); save it as UTF-8"


def test_same_stem_twice(tmp_path: Path) -> None:
    put(tmp_path / "test", "a.wav").with_suffix(".txt").write_text("x")
    put(tmp_path / "test", "a.flac")
    assert error(tmp_path) == f"{tmp_path / 'test'}: 'a' occurs twice; ids must be unique"


def test_options_are_checked(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="path"):
        benchmark.get("corpus", "folder", language="hi")
    with pytest.raises(SpecError, match="language"):
        benchmark.get("corpus", "folder", path=str(tmp_path), language="Hindi")
    with pytest.raises(DataError, match="limit = 0"):
        load(tmp_path, limit=0)
    assert benchmark.get("corpus", "folder", path=str(tmp_path), language="hi").language == "hi"


# --- identity -----------------------------------------------------------------------------------------------------


def identity(root: Path, *splits: str, **options: Any) -> dict[str, Any]:
    return benchmark.get("corpus", "folder", path=str(root), language="hi", **options).identity(splits or ("test",))


def test_the_identity_is_of_what_is_there_and_not_of_where(
    three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identity(three)
    assert before["name"] == "folder" and "path" not in before["options"]
    copy = tmp_path / "elsewhere"
    shutil.copytree(three / "test", copy / "test")
    assert identity(copy) == before
    monkeypatch.chdir(copy.parent)
    assert identity(Path("elsewhere")) == before
    assert identity(copy, skip_corrupt=False) == before  # a default that was spelled out
    metadata = copy / "test" / "metadata.csv"
    metadata.write_text(metadata.read_text().replace("राम", "श्याम"))
    changed = identity(copy)
    assert changed["version"] != before["version"]
    put(copy / "test", "a.wav", rate=8_000)
    assert identity(copy)["version"] not in (before["version"], changed["version"])


def test_the_identity_sees_the_splits_that_are_used(three: Path) -> None:
    put(three / "train", "x.wav")
    (three / "train" / "x.txt").write_text("राम")
    both = identity(three, "train", "test")
    assert both != identity(three) and both == identity(three, "test", "train")
    put(three / "train", "y.wav")
    (three / "train" / "y.txt").write_text("सीता")
    assert identity(three, "train", "test") != both


def test_audio_is_read_once_for_its_digest(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = identity(three)

    def never(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr("benchmark.corpora._digests._digest", never)
    assert identity(three) == before


def test_any_folder_is_a_split(three: Path) -> None:
    (three / "validation").mkdir()
    assert benchmark.get("corpus", "folder", path=str(three), language="hi").splits == ("test", "validation")
