"""Common Voice as downloaded: folders and archives of all releases, and every fault of both."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import benchmark
from benchmark.corpora import _archive
from benchmark.corpora.common_voice import CommonVoice
from benchmark.corpora.recordings import RecordingsSplit
from benchmark.errors import DataError

RELEASES = {
    "11": "client_id path sentence up_votes down_votes age gender accents locale segment",
    "13": "client_id path sentence up_votes down_votes age gender accents variant locale segment",
    "17": "client_id path sentence_id sentence sentence_domain up_votes down_votes age gender accents variant locale "
    "segment",
}
SENTENCES = ["राम घर जाता है।", 'उसने कहा, "हाँ', '"""Yes,"" she said."', "मैं ठीक हूँ", "वह आया", "पानी लाओ"]
SPLITS = {"train": [0, 1, 2], "dev": [3], "test": [4], "other": [5]}


def mp3(number: int, seconds: float = 0.4, rate: int = 32_000, channels: int = 1) -> bytes:
    wave = 0.4 * np.sin(2 * np.pi * (300 + 50 * number) * np.arange(int(seconds * rate)) / rate)
    file = io.BytesIO()
    soundfile.write(file, np.repeat(wave[:, None], channels, axis=1), rate, format="MP3")
    return file.getvalue()


def clip(number: int) -> str:
    return f"common_voice_hi_{number:08d}.mp3"


def put(
    root: Path, locale: str = "hi", release: str = "17", splits: dict[str, list[int]] = SPLITS, ending: str = ".mp3"
) -> Path:
    """Write a release with one locale, and return the locale's folder."""
    home = root / f"cv-corpus-{release}.0-2024-03-15" / locale
    (home / "clips").mkdir(parents=True)
    columns = RELEASES[release].split()
    for split, numbers in splits.items():
        rows = [columns]
        for number in numbers:
            (home / "clips" / clip(number)).write_bytes(mp3(number))
            known = {
                "client_id": f"{number % 2}" * 128,
                "path": clip(number).removesuffix(".mp3") + ending,
                "sentence": SENTENCES[number],
                "sentence_id": "f" * 64,
                "up_votes": "2",
                "locale": locale,
            }
            rows.append([known.get(column, "") for column in columns])
        (home / f"{split}.tsv").write_bytes("".join("\t".join(row) + "\n" for row in rows).encode())
    (home / "reported.tsv").write_text("sentence_id\tsentence\tlocale\treason\n")
    (home / "clip_durations.tsv").write_text("clip\tduration[ms]\n")
    return home


def pack(root: Path, name: str = "cv.tar.gz", lists_first: bool = False) -> Path:
    """Pack a folder with releases as Common Voice does; clips come before or after the lists."""
    path = root.parent / name
    files = sorted((file for file in root.rglob("*") if file.is_file()), key=lambda file: file.suffix != ".mp3")
    with tarfile.open(path, "w:gz" if name.endswith("gz") else "w") as tar:
        for file in reversed(files) if lists_first else files:
            tar.add(file, str(file.relative_to(root)))
    return path


def corpus(path: Path, language: str = "hi", **options: Any) -> CommonVoice:
    made: CommonVoice = benchmark.get("corpus", "common_voice", path=str(path), language=language, **options)
    return made


def load(path: Path, split: str = "train", **options: Any) -> RecordingsSplit:
    return corpus(path, **options).load(split)


def error(path: Path, split: str = "train", **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load(path, split, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of the locale of a release."""
    return put(tmp_path / "cv")


# --- what is read -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("ending", [".mp3", ""])
def test_releases_are_read_by_the_names_of_their_columns(release: str, ending: str, tmp_path: Path) -> None:
    split = load(put(tmp_path / "cv", release=release, ending=ending))
    assert split.ids == [clip(number).removesuffix(".mp3") for number in (0, 1, 2)]
    assert split.texts == SENTENCES[:3], "quotation marks are part of the sentence"
    assert split.speakers[0] == split.speakers[2] != split.speakers[1] and len(split.speakers[0]) == 12
    for index, number in enumerate((0, 1, 2)):
        sound = split.waveform(index)
        assert sound.size == pytest.approx(6_400, abs=1_500)
        middle = sound[1_600:4_800]
        assert np.argmax(np.abs(np.fft.rfft(middle))) * 5 == pytest.approx(300 + 50 * number, abs=6)


def test_a_folder_may_be_of_the_locale_of_the_release_or_above(home: Path) -> None:
    expected = load(home)
    for path in (home.parent, home.parent.parent):
        assert load(path).data_hash == expected.data_hash
        assert corpus(path).identity(["train"]) == corpus(home).identity(["train"])
    assert corpus(home).splits == ("train", "dev", "test", "other")


@pytest.mark.parametrize("name", ["cv.tar.gz", "cv.tar"])
@pytest.mark.parametrize("lists_first", [True, False])
def test_an_archive_is_the_same_corpus_as_its_folder(name: str, lists_first: bool, home: Path) -> None:
    path = pack(home.parent.parent, name, lists_first)
    assert corpus(path).splits == corpus(home).splits
    for split in SPLITS:
        from_folder, from_archive = load(home, split), load(path, split)
        assert from_archive.data_hash == from_folder.data_hash
        assert from_archive.speakers == from_folder.speakers
        for index in range(len(from_folder)):
            assert np.array_equal(from_archive.waveform(index), from_folder.waveform(index))
    assert corpus(path).identity(["train", "test"]) == corpus(home).identity(["train", "test"])
    assert pickle.loads(pickle.dumps(load(path))).waveform(0).size


def test_an_archive_is_read_once_and_only_wanted_clips_are_copied(
    home: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(home.parent.parent)
    load(path)
    (bundle,) = cache.rglob("*.bin")
    wanted = [number for split in ("train", "dev", "test") for number in SPLITS[split]]
    assert bundle.stat().st_size == sum((home / "clips" / clip(number)).stat().st_size for number in wanted)

    def never(*_: Any) -> Any:
        raise AssertionError("the archive was read again")

    monkeypatch.setattr(_archive.Archive, "_members", never)
    for split in ("train", "dev", "test"):
        assert len(load(path, split)) == len(SPLITS[split])
    with pytest.raises(AssertionError, match="read again"):
        load(path, "other")


@pytest.mark.parametrize("lost", ["*.bin", "0-*.json", "0.tsv", "index.json", "cut"])
def test_what_was_tidied_away_is_made_again(lost: str, home: Path, cache: Path) -> None:
    path = pack(home.parent.parent)
    before = load(path)
    (found,) = (cache / "archives").glob(f"*/{'*.bin' if lost == 'cut' else lost}")
    (found.parent / ".index.json-killed").write_text("half of")
    if lost == "cut":
        found.write_bytes(found.read_bytes()[:-9])
    else:
        found.unlink()
    after = load(path, faulty="exclude")
    assert after.data_hash == before.data_hash and np.array_equal(after.waveform(2), before.waveform(2))
    assert found.exists() and not list(found.parent.glob(".*")), "what a killed process left is there still"


def test_nothing_of_a_plain_tar_is_copied_but_lists(home: Path, cache: Path) -> None:
    load(pack(home.parent.parent, "cv.tar"))
    kept = {path.suffix for path in (cache / "archives").rglob("*") if path.is_file()}
    assert kept == {".tsv", ".json", ""}  # the last one is the lock


def test_an_archive_with_other_clips_of_the_same_size_and_time(home: Path) -> None:
    path = pack(home.parent.parent, "cv.tar")
    split, about = load(path), path.stat()
    raw = bytearray(path.read_bytes())
    place = raw.index(mp3(0)[:200]) + 600
    raw[place] ^= 0x55
    path.write_bytes(raw)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    with pytest.raises(DataError, match="the audio changed since it was loaded"):
        split.waveform(0)
    assert load(path).data_hash != split.data_hash


def test_another_archive_of_the_same_name_is_read_anew(home: Path) -> None:
    path = pack(home.parent.parent)
    before = load(path)
    table = home / "train.tsv"
    table.write_text(table.read_text().replace("राम", "श्याम"))
    pack(home.parent.parent)
    assert load(path).data_hash != before.data_hash


def test_44100_hz_stereo(home: Path) -> None:
    (home / "clips" / clip(0)).write_bytes(mp3(0, 1.0, 44_100, 2))
    sound = load(home).waveform(0)
    assert sound.size == pytest.approx(16_000, abs=1_500)
    assert np.argmax(np.abs(np.fft.rfft(sound[4_000:12_000]))) * 2 == pytest.approx(300, abs=4)


def test_what_macos_puts_beside_files_is_none_of_it(home: Path) -> None:
    for name in ("._train.tsv", "clips/._x.mp3"):
        (home / name).write_bytes(b"\x00\x05\x16\x07")
    assert corpus(pack(home.parent.parent)).splits == ("train", "dev", "test", "other")


# --- which locale -------------------------------------------------------------------------------------------------


def test_of_several_locales_the_language_says_which(tmp_path: Path) -> None:
    for locale in ("hi", "ta", "zh-CN", "zh-TW"):
        put(tmp_path / "cv", locale)
    both = tmp_path / "cv"
    for path in (both, pack(both)):
        assert corpus(path, "ta").splits and load(path, language="ta").texts
        assert error(path, language="zh").endswith(
            "2 are a locale of the language 'zh'; say with locale which is meant: zh-CN, zh-TW"
        )
        assert load(path, language="zh", locale="zh-TW").ids
        assert error(path, language="bn").endswith(
            "has no locale of the language 'bn'; say with locale which is meant: hi, ta, zh-CN, zh-TW"
        )


@pytest.mark.parametrize("name", ["", "two.tar", "two.tar.gz"])
def test_of_two_releases_none_is_taken_in_silence(name: str, home: Path) -> None:
    root = home.parent.parent
    other = put(root, release="13")
    put(root, "ta", "11", {"train": [3]})
    path = pack(root, name) if name else root
    places = [f"{path}:{one.relative_to(root)}" if name else str(one) for one in (other, home)]
    said = error(path)
    assert said.startswith(f"{path}: holds hi 2 times ({places[0]} and {places[1]}); ") and "as path" in said
    assert error(path, locale="hi") == said
    assert load(path, language="ta").texts == [SENTENCES[3]], "a locale that is there once is no question"
    assert load(other).data_hash == load(home).data_hash


def test_a_language_that_is_not_the_locales_is_an_error(home: Path) -> None:
    said = error(home, language="ta")
    assert said == (
        f"{home}/train.tsv: is of the locale 'hi', and the language is 'ta'; correct one of them, or say that this is "
        "meant with locale: hi"
    )
    assert load(home, language="ta", locale="hi").texts
    renamed = home.rename(home.with_name("mine"))
    assert load(renamed).texts, "the lists say of which locale they are"
    assert "line 2: is of the locale 'hi', not 'ta'" in error(renamed, locale="ta")


def test_the_way_to_a_locale_is_no_part_of_the_identity(home: Path) -> None:
    assert corpus(home, locale="hi").identity(["test"]) == corpus(home).identity(["test"])


# --- what is wrong ------------------------------------------------------------------------------------------------


def spoil(home: Path) -> None:
    """Put every fault that utterances may have into the list of training."""
    table = home / "train.tsv"
    columns = RELEASES["17"].split()

    def line(number: int, sentence: str = "x") -> str:
        known = {"client_id": "c", "path": clip(number), "sentence": sentence, "locale": "hi"}
        return "\t".join(known.get(column, "") for column in columns) + "\n"

    (home / "clips" / clip(10)).write_bytes(b"")
    (home / "clips" / clip(11)).write_bytes(mp3(1, 3.0)[:1_500])
    (home / "clips" / clip(13)).write_bytes(mp3(1))
    (home / "clips" / clip(14)).write_bytes(mp3(1, 31.0))
    table.write_text(
        table.read_text() + line(10) + line(11) + line(12) + line(13, " ") + line(14) + line(0, "said again")
    )


@pytest.mark.parametrize("name", ["", "cv.tar.gz", "cv.tar"])
def test_every_fault_of_an_utterance_is_counted(name: str, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    spoil(home)
    path = pack(home.parent.parent, name) if name else home
    split = load(path, faulty="exclude")
    assert split.texts == SENTENCES[:3]
    found = {fault.where.rpartition("clips/")[2].rstrip(")"): fault.kind for fault in split.faults}
    assert found == {
        clip(10): "empty audio",
        clip(11): "corrupt audio",
        clip(12): "missing audio",
        clip(13): "empty text",
        clip(14): "too long",
        clip(0): "duplicate id",
    }
    assert (
        "common_voice hi/train: left out 6 of 9 utterances (1 missing audio, 1 corrupt audio, 1 empty audio, "
        "1 empty text, 1 too long, 1 duplicate id); listed in " in caplog.text
    )
    with pytest.raises(
        DataError, match=r"train\.tsv, line 5 \(clips/common_voice_hi_00000010\.mp3\): audio file is empty"
    ):
        corpus(path).load("train", limit=4)
    assert corpus(path, faulty="exclude").identity(["train"])["version"]


def test_a_missing_column_is_named_with_those_that_are_there(home: Path) -> None:
    table = home / "train.tsv"
    table.write_text(table.read_text().replace("\tsentence\t", "\ttext\t", 1))
    there = ", ".join("text" if name == "sentence" else name for name in RELEASES["17"].split())
    assert error(home) == f"{table}: column 'sentence' is missing; there is: {there}"
    table.write_text("")
    assert error(home) == f"{table}: column 'client_id' is missing; there is: nothing"
    assert error(pack(home.parent.parent)).endswith("/hi/train.tsv: column 'client_id' is missing; there is: nothing")


def test_a_list_that_is_cut_off_is_named_with_its_line(home: Path) -> None:
    table = home / "train.tsv"
    table.write_bytes(table.read_bytes()[:-30].rpartition(b"\t")[0])
    assert error(home).startswith(f"{table}, line 4: ") and "columns; is it cut off?" in error(home)


def test_a_split_that_is_not_there(home: Path) -> None:
    assert error(home, "validated") == f"{home}: has no split 'validated'; there is: train, dev, test, other"
    assert "has no split 'reported'" in error(home, "reported")


def test_what_is_no_common_voice(tmp_path: Path) -> None:
    assert error(tmp_path / "no").endswith("is neither a folder nor an archive; check the option path")
    (tmp_path / "empty").mkdir()
    assert "has no train.tsv, dev.tsv or test.tsv beside clips; is it Common Voice?" in error(tmp_path / "empty")
    for content in (b"", b"some text that is no archive", gzip.compress(b"some text that is no archive")):
        (tmp_path / "cv.tar.gz").write_bytes(content)
        assert "cv.tar.gz: is no tar archive, plain or compressed by gzip (" in error(tmp_path / "cv.tar.gz")


@pytest.mark.parametrize("name", ["cv.tar.gz", "cv.tar"])
@pytest.mark.parametrize("lists_first", [True, False])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_an_archive_that_is_cut_off_says_how_far_it_can_be_read(
    name: str, lists_first: bool, share: float, home: Path, cache: Path
) -> None:
    path = pack(home.parent.parent, name, lists_first)
    with tarfile.open(path) as tar:
        names = tar.getnames()
        end = max(member.offset_data + member.size for member in tar.getmembers())
    size = int(share * (path.stat().st_size if name.endswith("gz") else end))
    path.write_bytes(path.read_bytes()[:size])
    said = error(path, faulty="exclude")
    assert said.startswith(f"{path}: is cut off (") and f"and has {size} bytes; fetch it again, or unpack" in said
    count, last = said.partition("up to its member ")[2].partition(", and has")[0].split(", ")
    assert 0 < int(count) < len(names) and names[int(count) - 1] == last
    assert not list(cache.rglob("*.json")), "what was read in part is not kept"


def test_a_tar_that_ends_between_two_members_is_cut_off_too(home: Path) -> None:
    path = pack(home.parent.parent, "cv.tar")
    with tarfile.open(path) as tar:
        third = tar.getmembers()[3]
    path.write_bytes(path.read_bytes()[: third.offset])
    assert ": is cut off (it does not end as an archive does): it can be read up to its member 3, " in error(path)


def test_an_archive_with_a_spoilt_byte_is_broken(home: Path) -> None:
    path = pack(home.parent.parent)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)
    assert "fetch it again, or unpack what is there" in error(path)


def test_a_way_out_of_a_cut_off_archive(home: Path, tmp_path: Path) -> None:
    """What the error advises works: unpack what is there, and leave out the missing clips."""
    path = pack(home.parent.parent, lists_first=True)
    path.write_bytes(path.read_bytes()[: int(0.8 * path.stat().st_size)])
    with pytest.raises((EOFError, tarfile.ReadError)), tarfile.open(path) as tar:
        tar.extractall(tmp_path / "part", filter="data")
    split = load(tmp_path / "part", faulty="exclude")
    assert 0 < len(split) < 3 and {fault.kind for fault in split.faults} <= {"missing audio", "corrupt audio"}


def test_a_cache_without_room_is_named(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack(home.parent.parent)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_archive, "write_atomically", full)
    said = error(path)
    assert f"{path}: what is read of it cannot be kept in " in said
    assert said.endswith("(No space left on device); point PRUNEBENCH_CACHE to a folder with room")
