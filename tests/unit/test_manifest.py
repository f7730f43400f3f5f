"""The corpus ``manifest``: tables of every kind, columns of any name, and whatever is wrong with its place."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import benchmark
from benchmark.corpora.manifest import Manifest
from benchmark.corpora.recordings import RecordingsSplit
from benchmark.errors import DataError, SpecError

ROWS = [
    {"audio": "a.wav", "text": 'उसने कहा, "हाँ"', "who": "s1", "set": "train", "key": "1"},
    {"audio": "clips/b.flac", "text": "राम", "who": "s2", "set": "train", "key": "2"},
    {"audio": "c.ogg", "text": "सीता", "who": "s1", "set": "test", "key": "3"},
]


def sound(path: Path, seconds: float = 0.3, rate: int = 16_000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)
    soundfile.write(path, np.repeat(wave[:, None], channels, axis=1), rate)


def write(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    """Write a manifest of the kind that its ending says."""
    with path.open("w", newline="", encoding="utf-8") as file:
        if path.suffix in (".jsonl", ".json"):
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        elif path.suffix == ".tsv":
            file.writelines("\t".join(map(str, row)) + "\n" for row in ([*rows[0]], *(row.values() for row in rows)))
        else:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    return path


def corpus(path: Path, **options: Any) -> Manifest:
    made: Manifest = benchmark.get("corpus", "manifest", path=str(path), language="hi", **options)
    return made


def load(path: Path, which: str = "train", **options: Any) -> RecordingsSplit:
    return corpus(path, **options).load(which)


def error(path: Path, which: str = "train", **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load(path, which, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the audio of ``ROWS``, and a cache of the test's own."""
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "cache"))
    for row in ROWS:
        sound(tmp_path / "home" / row["audio"])
    return tmp_path / "home"


# --- what is read -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "json"])
def test_every_kind_of_table_says_the_same(ending: str, home: Path) -> None:
    split = load(write(home / f"train.{ending}"))
    assert split.ids == ["a.wav", "clips/b.flac", "c.ogg"]
    assert split.texts == [row["text"] for row in ROWS] and split.speakers == ["", "", ""]
    assert [split.waveform(index).size for index in range(3)] == [4_800] * 3


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_columns_and_splits_are_named_in_the_options(ending: str, home: Path) -> None:
    rows = [{"file": row["audio"], "said": row["text"], **row} for row in ROWS]
    path = write(home / f"all.{ending}", [{k: v for k, v in row.items() if k not in ("audio", "text")} for row in rows])
    made = corpus(path, audio="file", text="said", id="key", speaker="who", split="set")
    assert made.splits == ("train", "test")
    train, test = made.load("train"), made.load("test")
    assert (train.ids, train.speakers) == (["1", "2"], ["s1", "s2"])
    assert (test.ids, test.texts) == (["3"], ["सीता"])


def test_one_manifest_a_split(home: Path) -> None:
    write(home / "train.csv", ROWS[:2])
    write(home / "test.jsonl", ROWS[2:])
    made = corpus(home)
    assert made.splits == ("test", "train")
    assert (made.load("train").ids, made.load("test").ids) == (["a.wav", "clips/b.flac"], ["c.ogg"])
    (home / "lists").mkdir()
    write(home / "lists" / "mine.tsv", [{**ROWS[0], "audio": "../a.wav"}])
    named = corpus(home, files={"train": "lists/mine.tsv", "dev": "test.jsonl"})
    assert named.splits == ("train", "dev") and named.load("dev").ids == ["c.ogg"]
    assert named.load("train").ids == ["../a.wav"], "relative to the manifest that names it"


def test_numbers_in_json_are_texts(home: Path) -> None:
    path = write(home / "train.jsonl", [{"audio": "a.wav", "text": "x", "key": 7, "who": 12}])
    split = load(path, id="key", speaker="who")
    assert (split.ids, split.speakers) == (["7"], ["12"])


def test_marks_in_a_tsv_are_the_texts_own_unless_said(home: Path) -> None:
    path = home / "train.tsv"
    path.write_text('audio\ttext\na.wav\t"say ""yes"""\nclips/b.flac\t"open\n')
    assert load(path).texts == ['"say ""yes"""', '"open']
    path.write_text('audio\ttext\na.wav\t"say ""yes"""\n')
    assert load(path, quoted=True).texts == ['say "yes"']


def test_a_quoted_cell_may_hold_marks_and_lines(home: Path) -> None:
    path = home / "train.csv"
    path.write_text('audio,text\na.wav,"one, ""two""\nthree"\nclips/b.flac,four\nc.ogg\n')
    assert error(path).startswith(f"{path}, line 5: 1 cells"), "lines are those of the file, not rows"
    path.write_text('audio,text\na.wav,"one, ""two""\nthree"\nclips/b.flac,four\n')
    assert load(path).texts == ['one, "two"\nthree', "four"]


def test_a_manifest_as_nemo_writes_it(home: Path) -> None:
    row = {"audio_filepath": "a.wav", "duration": 0.3, "offset": 0.0, "text": "राम"}
    split = load(write(home / "train.json", [row]), audio="audio_filepath")
    assert (split.ids, split.texts) == (["a.wav"], ["राम"])


def test_44100_hz_stereo_and_mp3(home: Path) -> None:
    sound(home / "d.mp3", 1.0, 44_100, 2)
    split = load(write(home / "train.csv", [{**ROWS[0], "audio": "d.mp3"}]))
    assert split.waveform(0).size == pytest.approx(16_000, abs=2_000)


def test_ids_are_the_same_wherever_the_audio_lies(home: Path, tmp_path: Path) -> None:
    relative = load(write(home / "train.csv"))
    absolute = write(home / "train.csv", [{**row, "audio": str(home / row["audio"])} for row in ROWS])
    assert load(absolute).ids == relative.ids and load(absolute).data_hash == relative.data_hash
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = shutil.move(absolute, elsewhere / "train.csv")
    assert load(Path(moved)).ids == ["a.wav", "b.flac", "c.ogg"], "no path of this machine is in an id"


def test_the_identity_is_of_what_is_said_and_not_of_where(home: Path, tmp_path: Path) -> None:
    path = write(home / "all.csv")
    before = corpus(path, split="set").identity(["train", "test"])
    assert before["options"] == {"language": "hi", "split": "set"}
    copy = shutil.copytree(home, tmp_path / "copy")
    assert corpus(copy / "all.csv", split="set").identity(["test", "train"]) == before
    write(copy / "all.csv", [{**row, "text": "x"} for row in ROWS])
    assert corpus(copy / "all.csv", split="set").identity(["train", "test"])["version"] != before["version"]


# --- what is wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_every_fault_of_an_utterance_is_counted(ending: str, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    (home / "empty.mp3").write_bytes(b"")
    (home / "broken.flac").write_bytes((home / "clips" / "b.flac").read_bytes()[:3_000])
    sound(home / "long.wav", 30.5)
    faults = {
        "empty.mp3": "empty audio",
        "broken.flac": "corrupt audio",
        "missing.wav": "missing audio",
        "long.wav": "too long",
        "a.wav": "duplicate id",
    }
    rows = [*ROWS, *({**ROWS[0], "audio": name} for name in faults), {**ROWS[0], "audio": "c.wav", "text": " "}]
    path = write(home / f"train.{ending}", rows)
    split = load(path, faulty="exclude")
    assert len(split) == 3 and len(split.faults) == 6
    assert {fault.id: fault.kind for fault in split.faults} == {**faults, "c.wav": "empty text"}
    first = 1 if ending == "jsonl" else 2
    assert f"{path}, line {first + 3} (empty.mp3)" in split.skipped
    assert (
        "manifest hi/train: left out 6 of 9 utterances (" in caplog.text
        and "exclusions-manifest-hi-train-evaluation-longest-30.csv" in (caplog.text)
    )
    assert "leave such utterances out with faulty: exclude" in error(path)


def test_a_missing_column_is_named_with_those_that_are_there(home: Path) -> None:
    there = "audio, text, who, set, key"
    for ending in ("csv", "tsv"):
        path = write(home / f"train.{ending}")
        said = f"{path}: column 'transcript' is missing; there is: {there}; columns are named in the options"
        assert error(path, text="transcript") == said
    path = write(home / "train.jsonl")
    assert error(path, text="transcript") == (
        f"{path}, line 1: has no text in 'transcript'; there is: {there}; columns are named in the options"
    )
    (home / "none.csv").write_text("")
    assert error(home / "none.csv", "none").startswith(
        f"{home / 'none.csv'}: column 'audio' is missing; there is: nothing"
    )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("train.csv", "audio,text\na.wav\n", ", line 2: 1 cells, and there are 2 columns"),
        ("train.csv", "audio,text\na.wav,one,two\n", ", line 2: 3 cells, and there are 2 columns"),
        ("train.tsv", "audio\ttext\na.wav\tone\ttwo\n", ", line 2: 3 cells, and there are 2 columns"),
        ("train.csv", 'audio,text\na.wav,"one\n', ", near line 2: not a table with quoted cells ("),
        ("train.jsonl", "\n{", ", line 2: not JSON ("),
        ("train.json", '[\n{"audio": "a.wav"}\n]', ", line 1: not JSON ("),
        ("train.jsonl", "[1]", ", line 1: not a JSON object; write one object a line"),
        ("train.jsonl", '{"audio": "a.wav"}', ", line 1: has no text in 'text'; there is: audio;"),
        ("train.jsonl", '{"audio": {"path": "a"}, "text": "x"}', ", line 1: has no text in 'audio'; there is:"),
        (
            "train.jsonl",
            '{"audio": "a.wav", "text": "x", "offset": 1.5}',
            ", line 1: is a part of a file (offset 1.5);",
        ),
        ("train.csv", "audio,text,offset\na.wav,x,0.0\na.wav,y,1.5\n", ", line 3: is a part of a file (offset 1.5);"),
        ("train.tsv", "audio\ttext\tStart\na.wav\tx\t00:01:30\n", ", line 2: is a part of a file (Start 00:01:30);"),
        ("train.jsonl", '{"audio": "a.wav", "text": "x\\ud800"}', ", line 1: holds half a character ('\\ud800');"),
        ("train.jsonl", '{"audio": "a.wav", "text": ' + 5000 * "9" + "}", ", line 1: not JSON (Exceeds the limit"),
        ("train.jsonl", 100_000 * "[", ", line 1: not JSON (maximum recursion depth"),
        ("train.txt", "audio,text\n", ": is no manifest by its ending; it can be .csv, .tsv, .jsonl, .json"),
    ],
)
def test_a_bad_line_is_named(name: str, content: str, said: str, home: Path) -> None:
    (home / name).write_text(content)
    assert error(home / name).startswith(f"{home / name}{said}")


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("column", ["duration", "end"])
def test_the_beginning_of_a_file_is_no_utterance(ending: str, column: str, home: Path) -> None:
    sound(home / "long.wav", 2.5)
    rows = [
        {"audio": "long.wav", "text": "राम", "offset": 0, column: 1.0},
        {"audio": "a.wav", "text": "x", "offset": 0},
    ]
    path = write(home / f"train.{ending}", [row | {column: row.get(column, 0.2)} for row in rows])
    assert error(path).startswith(
        f"{path}, line {1 if ending == 'jsonl' else 2} (long.wav): 2.50 s, and listed with 1 s: a part of it? cut it: "
    )
    split = load(path, faulty="exclude")
    assert (split.ids, [fault.kind for fault in split.faults]) == (["a.wav"], ["part of a file"])
    if ending != "jsonl":
        assert load(path, id=column).ids == ["1.0", "0.2"], "a column that is named in the options tells no part"


def test_columns_that_tell_no_part(home: Path) -> None:
    rows = [{"audio": "a.wav", "text": "x", "start": "0.0", "end": "", "duration": 300, "begin": "nan", "offset": "-1"}]
    assert load(write(home / "train.csv", rows)).ids == ["a.wav"]


@pytest.mark.parametrize("name", ["प" * 100, "x" * 5000])
def test_a_name_that_is_too_long_is_a_fault(name: str, home: Path) -> None:
    path = write(home / "train.jsonl", [*ROWS[:1], {"audio": name, "text": "x"}])
    assert "audio file cannot be read (File name too long); repair it" in error(path)
    assert load(path, faulty="exclude").ids == ["a.wav"]


def test_a_manifest_that_is_not_utf8(home: Path) -> None:
    (home / "train.csv").write_bytes("audio,text\na.wav,Köln\n".encode("latin-1"))
    assert "not UTF-8 (byte 18); save it as UTF-8" in error(home / "train.csv")


def test_splits_that_are_not_there(home: Path) -> None:
    path = write(home / "all.csv")
    assert error(path) == f"{path}: has no split 'train'; there is: all"
    assert error(path, "dev", split="set") == f"{path}: has no split 'dev'; there is: train, test"
    assert error(home / "clips") == f"{home / 'clips'}: has no split 'train'; there is: none"


def test_places_that_do_not_fit_the_options(home: Path) -> None:
    path = write(home / "train.csv")
    assert error(home / "no").endswith("is neither a file nor a folder; check the option path")
    assert "is one file; with files, path is the folder that holds them" in error(path, files={"train": "train.csv"})
    assert "is a folder; with a column for the split, path is one file" in error(home, split="set")
    assert "is no file" in error(home, files={"train": "other.csv"})
    for file in ("/etc/train.csv", "../train.csv"):
        assert f"files: train: {file} is no file in the folder {home}; change path" in error(
            home, files={"train": file}
        )
    write(home / "train.tsv")
    assert "has two manifests of one name; say which is meant with files" in error(home)
    assert load(home, files={"train": "train.tsv"}).ids
    with pytest.raises(SpecError, match="audio"):
        corpus(path, audio="")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("audio,text\n,x\n", "line 2: column 'audio' names no file"),
        ("audio,text\na\0b.wav,x\n", "line 2: column 'audio' names no file"),
        ("audio,text\n~nobody-of-that-name/a.wav,x\n", "line 2: '~nobody-of-that-name/a.wav' is in the home of nobody"),
        ("audio,text,audio\na.wav,x,b.wav\n", "column 'audio' is there twice"),
    ],
)
def test_a_path_that_is_none_is_named_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "test.csv").write_text(text, encoding="utf-8")
    corpus = benchmark.get("corpus", "manifest", path=str(tmp_path), language="hi")
    with pytest.raises(DataError, match=re.escape(expected)):
        list(corpus.rows("test"))
