"""The corpus ``fleurs``: the layout of its repository is read, packed and unpacked; what does not fit is named."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import benchmark
from benchmark.corpora import _files
from benchmark.corpora.recordings import RecordingsSplit
from benchmark.errors import DataError

RATE = 16_000
LINES = (  # invented; one sentence by two readers, as in the corpus
    ("1639", "9624.wav", 'उन्होंने कहा, "हाँ"।', "उन्होंने कहा हाँ", "उ न ् ह |", "3200", "MALE"),
    ("1639", "1063.wav", 'उन्होंने कहा, "हाँ"।', "उन्होंने कहा हाँ", "उ न ् ह |", "4800", "FEMALE"),
    ("1721", "7790.wav", "वह 5 बजे आया।", "वह 5 बजे आया", "व ह |", "1600", "FEMALE"),
)


def wav(samples: int, pitch: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, 0.5 * np.sin(2 * np.pi * pitch * np.arange(samples) / RATE), RATE, format="WAV")
    return file.getvalue()


def sounds() -> dict[str, bytes]:
    return {line[1]: wav(int(line[5]), 200 + 50 * number) for number, line in enumerate(LINES)}


def pack(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, raw in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(raw)
            tar.addfile(member, io.BytesIO(raw))


def put(locale: Path, packed: bool = True) -> None:
    """Write three splits of one locale."""
    (locale / "audio").mkdir(parents=True)
    for split in ("train", "dev", "test"):
        (locale / f"{split}.tsv").write_text("".join("\t".join(line) + "\n" for line in LINES), encoding="utf-8")
        if packed:
            pack(locale / "audio" / f"{split}.tar.gz", {f"{split}/{name}": raw for name, raw in sounds().items()})
        else:
            (locale / "audio" / split).mkdir()
            for name, raw in sounds().items():
                (locale / "audio" / split / name).write_bytes(raw)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The repository as downloaded: ``data/<locale>``."""
    put(tmp_path / "fleurs" / "data" / "hi_in")
    put(tmp_path / "fleurs" / "data" / "ta_in")
    return tmp_path / "fleurs"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def corpus(path: Path, language: str = "hi", **options: Any) -> Any:
    return benchmark.get("corpus", "fleurs", path=str(path), language=language, **options)


def load(path: Path, split: str = "test", limit: int | None = None, **options: Any) -> RecordingsSplit:
    found: RecordingsSplit = corpus(path, **options).load(split, limit)
    return found


def error(path: Path, split: str = "test", **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load(path, split, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- what is read -------------------------------------------------------------------------------------------------


def test_packed(repository: Path) -> None:
    assert corpus(repository).splits == ("train", "dev", "test")
    split = load(repository)
    assert list(split.ids) == ["9624.wav", "1063.wav", "7790.wav"]
    assert list(split.texts) == [line[2] for line in LINES]  # quotation marks stay
    assert list(split.speakers) == ["", "", ""]
    assert [split.waveform(index).size for index in range(3)] == [3200, 4800, 1600]


def test_unpacked_is_the_same(repository: Path, tmp_path: Path) -> None:
    put(tmp_path / "by hand" / "hi_in", packed=False)
    packed, unpacked = corpus(repository), corpus(tmp_path / "by hand" / "hi_in")
    assert packed.load("dev").data_hash == unpacked.load("dev").data_hash
    assert packed.identity(["dev"]) == unpacked.identity(["dev"])


def test_normalised_transcription(repository: Path) -> None:
    split = load(repository, transcription="normalised")
    assert list(split.texts) == [line[3] for line in LINES]
    identity = corpus(repository, transcription="normalised").identity(["test"])
    assert identity["options"] == {"language": "hi", "transcription": "normalised"}
    assert identity["version"] != corpus(repository).identity(["test"])["version"]


def test_an_archive_is_unpacked_once(repository: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load(repository).data_hash
    monkeypatch.setattr(_files, "_unpack", lambda *_: pytest.fail("unpacked again"))
    assert load(repository).data_hash == before
    assert [path.name for path in (cache / "unpacked").iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("harm", ["lost", "cut", "more", "list"])
def test_an_archive_of_which_something_was_tidied_away_is_unpacked_again(
    harm: str, repository: Path, cache: Path
) -> None:
    before = load(repository)
    (file, *_) = sorted((cache / "unpacked").glob("*/*.wav"))
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:-9])
    elif harm == "more":
        file.with_name("more.wav").write_bytes(b"")
    else:
        (file if harm == "lost" else file.parent.with_suffix(".json")).unlink()
    for left in (file.parent.with_name(f".{file.parent.name}-killed"), file.parent.with_name(".other-writing")):
        left.mkdir()
        (left / "half.wav").write_bytes(b"")
    after = load(repository, faulty="exclude")
    assert after.data_hash == before.data_hash and after.waveform(0).size and not after.faults
    assert [left.name for left in (cache / "unpacked").glob(".*")] == [".other-writing"]


def test_a_changed_archive_is_unpacked_again(repository: Path) -> None:
    before = load(repository).data_hash
    archive = repository / "data" / "hi_in" / "audio" / "test.tar.gz"
    pack(archive, {f"test/{name}": wav(1600, 990) for name in sounds()})
    os.utime(archive, ns=(1, 1))
    assert load(repository).data_hash != before


# --- which locale -------------------------------------------------------------------------------------------------


def test_the_language_says_which_locale(repository: Path) -> None:
    (repository / "data" / "ta_in" / "test.tsv").write_text("\t".join(LINES[2]) + "\n", encoding="utf-8")
    assert len(load(repository)) == 3
    assert len(load(repository, language="ta")) == 1
    assert len(load(repository / "data", language="ta")) == 1
    assert len(load(repository / "data" / "ta_in", language="ta")) == 1


@pytest.mark.parametrize(("locale", "language"), [("cmn_hans_cn", "zh"), ("nb_no", "no"), ("fil_ph", "tl")])
def test_whisper_calls_some_languages_otherwise(locale: str, language: str, tmp_path: Path) -> None:
    put(tmp_path / locale, packed=False)
    assert len(load(tmp_path, language=language)) == 3


def test_two_locales_of_a_language(tmp_path: Path) -> None:
    for locale in ("es_419", "es_es"):
        put(tmp_path / locale, packed=False)
    said = error(tmp_path, language="es")
    assert "2 are a locale of the language 'es'; say with locale which is meant: es_419, es_es" in said
    assert len(load(tmp_path, language="es", locale="es_419")) == 3
    plain, named = corpus(tmp_path / "es_419", "es"), corpus(tmp_path, "es", locale="es_419")
    assert plain.identity(["test"]) == named.identity(["test"])


def test_a_locale_that_is_not_there(repository: Path) -> None:
    said = "has no locale of the language 'bn'; say with locale which is meant: hi_in, ta_in"
    assert said in error(repository, language="bn")
    assert "has no locale of the language 'ta'" in error(repository / "data" / "hi_in", language="ta")
    assert "has no locale 'hi_pk'" in error(repository, locale="hi_pk")


def test_a_locale_under_another_name(tmp_path: Path) -> None:
    put(tmp_path / "hindi", packed=False)
    assert len(load(tmp_path / "hindi")) == 3


# --- what is wrong ------------------------------------------------------------------------------------------------


def test_a_missing_column(repository: Path) -> None:
    path = repository / "data" / "hi_in" / "test.tsv"
    path.write_text("\t".join(LINES[0]) + "\n" + "\t".join(LINES[1][:6]) + "\n", encoding="utf-8")
    assert "test.tsv, line 2: 6 columns, and FLEURS has 7 (id, file name, raw transcription" in error(repository)


@pytest.mark.parametrize("name", ["", "../secret.wav"])
def test_a_name_that_leaves_the_folder(name: str, repository: Path) -> None:
    path = repository / "data" / "hi_in" / "test.tsv"
    path.write_text("\t".join(("1", name, *LINES[0][2:])) + "\n", encoding="utf-8")
    assert f"test.tsv, line 1: {name!r} is no name of a file" in error(repository)


def test_not_utf_8(repository: Path) -> None:
    (repository / "data" / "hi_in" / "test.tsv").write_bytes(b"1\t\xff\n")
    assert "test.tsv: not UTF-8 (byte 2)" in error(repository)


@pytest.mark.parametrize("lost", [4, 400])  # 4: all audio is there, and nobody can know
def test_an_archive_that_is_cut_off(lost: int, repository: Path, cache: Path) -> None:
    archive = repository / "data" / "hi_in" / "audio" / "test.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-lost])
    assert "test.tar.gz: archive is cut off or broken" in error(repository)
    assert list((cache / "unpacked").glob("*/")) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"version https://git-lfs.github.com/spec/v1\n", gzip.compress(b"no tar")],
    ids=["empty", "pointer", "no tar"],
)
def test_what_is_no_archive(content: bytes, repository: Path) -> None:
    (repository / "data" / "hi_in" / "audio" / "test.tar.gz").write_bytes(content)
    assert "test.tar.gz: archive is cut off or broken" in error(repository)


def test_two_files_of_one_name(repository: Path) -> None:
    archive = repository / "data" / "hi_in" / "audio" / "test.tar.gz"
    pack(archive, {"a/1063.wav": b"1", "b/1063.wav": b"2"})
    assert "holds two files called 1063.wav" in error(repository)


def test_no_room_for_the_archive(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.shutil, "copyfileobj", full)
    assert "No space left on device); unpack it yourself, or point PRUNEBENCH_CACHE" in error(repository)


def test_no_audio(repository: Path) -> None:
    (repository / "data" / "hi_in" / "audio" / "dev.tar.gz").unlink()
    assert "has neither dev.tar.gz nor a folder dev; fetch the audio, too" in error(repository, "dev")


def test_what_is_not_there(repository: Path, tmp_path: Path) -> None:
    assert "is not a folder; check the option path" in error(tmp_path / "nowhere")
    assert "has no split 'validation'; there is: train, dev, test" in error(repository, "validation")
    (tmp_path / "empty").mkdir()
    assert "has no <locale>/train.tsv" in error(tmp_path / "empty")


def test_missing_and_repeated_rows_are_counted(repository: Path) -> None:
    hindi = repository / "data" / "hi_in"
    with (hindi / "test.tsv").open("a", encoding="utf-8") as file:
        file.write("\t".join(LINES[0]) + "\n" + "\t".join(("9", "gone.wav", *LINES[0][2:])) + "\n")
    split = load(repository, faulty="exclude")
    assert len(split) == 3
    kinds = {(fault.id, fault.kind) for fault in split.faults}
    assert kinds == {("9624.wav", "duplicate id"), ("gone.wav", "missing audio")}
    assert all("test.tar.gz/" in fault.where for fault in split.faults)
