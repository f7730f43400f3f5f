"""Bytes of an audio file to samples, and what may be wrong with them."""

from __future__ import annotations

import io
import os
import threading
from contextlib import suppress
from typing import Literal, get_args

import numpy as np
import soundfile

from benchmark.errors import DataError

RATE = 16_000
DECODER = "1"
"""Raise it when what is decoded or found wrong changes: what was remembered of audio counts no more then."""

Kind = Literal[
    "missing audio",
    "corrupt audio",
    "empty audio",
    "empty text",
    "part of a file",
    "too long",
    "too short",
    "duplicate id",
]
KINDS: tuple[str, ...] = get_args(Kind)
_UNSIZED = (0, 0xFFFFFFFF)  # RIFF sizes of writers that could not go back to fill them in
_MP3_SLACK = 3 * 1152  # the count of frames in an MP3's header may leave out its own frame and the encoder's padding
_BLOCK = 1 << 16
_PAGE = 27  # bytes of an Ogg page before its table of segments (RFC 3533, section 6)


class AudioError(DataError):
    """Audio that cannot be used: ``kind`` is one of ``KINDS``, ``detail`` says more; the text names the place too."""

    def __init__(self, where: str, kind: Kind, detail: str) -> None:
        super().__init__(f"{where}: {detail}")
        self.kind, self.detail = kind, detail


def decode(raw: bytes, where: str) -> np.ndarray:
    """Return mono float32 samples at 16 kHz in [-1, 1], shape ``(samples,)``.

    WAV, FLAC, Ogg (Vorbis, Opus) and MP3 of any rate and number of channels; ``where`` names the audio in errors.

    Raises:
        AudioError: not audio, cut off, empty, or numbers that are no sound.
    """
    if not raw:
        raise AudioError(where, "empty audio", "audio file is empty (0 bytes)")
    try:
        with soundfile.SoundFile(io.BytesIO(raw)) as file:
            promised, rate, kind = file.frames, file.samplerate, file.format
            counted = kind != "MP3" or _counts_frames(raw)
            samples = file.read(dtype="float32", always_2d=True) if counted else _to_the_end(raw)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = getattr(error, "error_string", str(error)).rstrip(".")  # without the address of a buffer
        raise AudioError(where, "corrupt audio", f"audio cannot be decoded ({reason})") from error
    lacking = _lacking(raw, kind, promised, len(samples))
    if lacking:
        raise AudioError(where, "corrupt audio", f"audio is cut off ({lacking})")
    if not samples.size:
        raise AudioError(where, "empty audio", "audio is empty")
    mono = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise AudioError(where, "corrupt audio", "audio holds values that are not finite")
    if rate != RATE:
        from scipy.signal import resample_poly  # takes a second to import, and whoever only lists corpora need not wait

        shared = int(np.gcd(rate, RATE))
        mono = resample_poly(mono, RATE // shared, rate // shared)
    return np.asarray(np.clip(mono, -1, 1), dtype=np.float32)


def _lacking(raw: bytes, kind: str, promised: int, found: int) -> str:
    """Return how much of a file is there, or nothing when all is: libsndfile takes a cut-off file without a word."""
    if raw[:4] == b"RIFF" and (size := int.from_bytes(raw[4:8], "little")) not in _UNSIZED and size + 8 > len(raw) + 1:
        return f"{len(raw)} of {size + 8} bytes"
    if kind == "FLAC" and found < promised:
        return f"{found} of {promised} samples"
    if kind == "MP3" and _counts_frames(raw) and found + _MP3_SLACK < promised:
        return f"{found} of {promised} samples"
    if kind == "OGG" and (missing := _page_lacks(raw)):
        return f"its last page lacks {missing} bytes"
    return ""


def _counts_frames(raw: bytes) -> bool:
    """Whether the first frame of an MP3 counts them all; else their number is an estimate, and no promise."""
    tag = 0
    if raw[:3] == b"ID3" and len(raw) > 10:  # four bytes of seven bits (id3.org, ID3v2.4, section 3.1)
        tag = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(raw[6:10], (21, 14, 7, 0), strict=True))
    first = raw[tag : tag + 64]
    return b"Xing" in first or b"Info" in first


def _to_the_end(raw: bytes) -> np.ndarray:
    """Return all samples of an MP3 that does not count its frames, shape ``(samples, channels)``.

    Of a file, libsndfile reads no more than it guessed from the first frame's bit rate: half of it can be missing. Of a
    pipe it reads to the end (github.com/libsndfile/libsndfile/issues/1001).
    """
    end, start = os.pipe()

    def write() -> None:
        with suppress(BrokenPipeError), os.fdopen(start, "wb") as pipe:
            pipe.write(raw)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with soundfile.SoundFile(end, closefd=False) as file:
            blocks = [np.zeros((0, file.channels), dtype=np.float32)]
            while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
                blocks.append(block)
    finally:
        os.close(end)
        writer.join()
    return np.concatenate(blocks)


def _page_lacks(raw: bytes) -> int:
    start = raw.rfind(b"OggS")
    page = raw[start:]
    segments = page[_PAGE : _PAGE + page[_PAGE - 1]] if start >= 0 and len(page) >= _PAGE else b""
    whole = _PAGE + page[_PAGE - 1] + sum(segments) if segments else _PAGE
    return max(0, whole - len(page))
