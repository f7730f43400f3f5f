"""What headers of audio files promise wrongly, what stands before the audio, and several streams in one file."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile

from benchmark.corpora._audio import AudioError, decode

RATE = 16_000


def made(kind: str, subtype: str | None = None, seconds: float = 1.0, rate: int = RATE, pitch: float = 440.0) -> bytes:
    """Return a file with a tone."""
    wave = 0.3 * np.sin(2 * np.pi * pitch * np.arange(int(seconds * rate)) / rate)
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format=kind, subtype=subtype)
    return file.getvalue()


def uncounted(mp3: bytes) -> bytes:
    """Return an MP3 without the count of its frames."""
    place = max(mp3[:64].find(b"Xing"), mp3[:64].find(b"Info"))
    assert place > 0
    return mp3[:place] + bytes(4) + mp3[place + 4 :]


def tag(size: int, flags: int = 0) -> bytes:
    """Return an ID3 tag with so many bytes of pictures."""
    return (
        b"ID3\x04\x00"
        + bytes([flags, *((size >> shift) & 0x7F for shift in (21, 14, 7, 0))])
        + b"\xff\x00" * (size // 2)
    )


def with_rate(rate: int) -> bytes:
    raw = bytearray(made("WAV"))
    raw[24:28] = struct.pack("<I", rate)
    return bytes(raw)


def with_samples(count: int) -> bytes:
    """Return a FLAC whose STREAMINFO (RFC 9639, section 8.2) tells so many samples."""
    raw = bytearray(made("FLAC"))
    raw[21] = raw[21] & 0xF0 | count >> 32
    raw[22:26] = struct.pack(">I", count & 0xFFFFFFFF)
    return bytes(raw)


def fault(raw: bytes) -> str:
    with pytest.raises(AudioError) as caught:
        decode(raw, "some.file")
    assert caught.value.kind == "corrupt audio" and "\n" not in str(caught.value)
    return caught.value.detail


# --- promises -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [1, 999, 768_001, 16_777_213, 0x7FFFFFFF])
def test_a_rate_of_no_sound_is_a_fault(rate: int) -> None:
    assert fault(with_rate(rate)) == f"a sampling rate of {rate} Hz is none of sound"
    assert decode(with_rate(1_000), "x").size == 16 * RATE


def test_a_flac_that_does_not_tell_its_length_is_read() -> None:
    assert np.array_equal(decode(with_samples(0), "x"), decode(made("FLAC"), "x"))


def test_a_length_that_no_file_holds_is_a_fault() -> None:
    assert fault(with_samples((1 << 36) - 1)) == "audio is cut off (16000 of 68719476735 samples)"
    mp3 = bytearray(made("MP3"))
    place = max(mp3.find(b"Xing"), mp3.find(b"Info")) + 8
    mp3[place : place + 4] = b"\xff" * 4
    assert fault(bytes(mp3)).startswith("audio is cut off (")


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU"])
def test_a_cut_is_found_by_the_head(kind: str) -> None:
    raw = made(kind)
    assert decode(raw, "x").size == RATE
    assert fault(raw[:9_000]) == f"audio is cut off (9000 of {len(raw)} bytes)"


@pytest.mark.parametrize("size", [0, 0x7FFFF024, 0xFFFFFFFF])
def test_a_wav_that_was_streamed_is_whole(size: int) -> None:
    raw = bytearray(made("WAV"))
    raw[4:8] = struct.pack("<I", size)
    assert decode(bytes(raw), "x").size == RATE
    assert fault(bytes(raw[:9_000])) == f"audio is cut off (9000 of {len(raw)} bytes)", "its data tell their size"
    raw[40:44] = struct.pack("<I", max(size, 1) - 1)
    if size:
        assert decode(bytes(raw), "x").size == RATE


# --- tags ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [0, 0x10])
@pytest.mark.parametrize("size", [256, 16 << 10, 300 << 10])
def test_a_picture_before_the_audio(size: int, flags: int) -> None:
    before = tag(size, flags) + (b"3DI" + bytes(7) if flags else b"")
    for raw in (made("MP3"), uncounted(made("MP3")), made("FLAC")):
        assert np.array_equal(decode(before + raw, "x"), decode(raw, "x"))
    assert np.array_equal(decode(before + tag(100) + bytes(99) + made("MP3"), "x"), decode(made("MP3"), "x"))


def test_a_tag_and_nothing_behind_is_no_audio() -> None:
    assert fault(tag(1_000)).startswith("audio cannot be decoded (")
    assert fault(tag(1_000)[:500]).startswith("audio cannot be decoded (")


# --- several streams ----------------------------------------------------------------------------------------------


def pitches(sound: np.ndarray) -> list[float]:
    """Return the loudest pitch of each half, in steps of 10 Hz."""
    halves = np.array_split(sound, 2)
    return [float(np.argmax(np.abs(np.fft.rfft(half[2_000:], RATE)))) for half in halves]


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_all_of_a_chained_ogg_is_read(subtype: str) -> None:
    first, second = made("OGG", subtype, 1.0, 48_000), made("OGG", subtype, 1.0, RATE, 880.0)
    sound = decode(first + second, "x")
    assert np.array_equal(sound, np.concatenate([decode(first, "x"), decode(second, "x")]))
    assert pitches(sound) == pytest.approx([440, 880], abs=5)
    assert fault(first + second[:-20]).startswith("audio "), "a part that is cut off is none to leave out"


@pytest.mark.parametrize("between", [b"", tag(100), b"TAG" + bytes(125)])
@pytest.mark.parametrize("count", [True, False])
def test_all_of_joined_mp3s_is_read(between: bytes, count: bool) -> None:
    first, second = made("MP3"), made("MP3", pitch=880.0)
    second = second if count else uncounted(second)
    sound = decode(first + between + second, "x")
    assert np.array_equal(sound, np.concatenate([decode(first, "x"), decode(second, "x")]))
    assert pitches(sound) == pytest.approx([440, 880], abs=5)


def test_what_stands_behind_an_mp3_is_no_second_one() -> None:
    raw = made("MP3")
    for behind in (b"TAG" + bytes(125), b"APETAGEX" + bytes(9_000), b"\xff" * 9_000, bytes(9_000), tag(9_000)):
        assert np.array_equal(decode(raw + behind, "x"), decode(raw, "x"))
