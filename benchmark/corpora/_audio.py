"""Bytes of an audio file to samples, and what may be wrong with them."""

from __future__ import annotations

import io
import os
import threading
from contextlib import suppress
from typing import Literal, get_args

import numpy as np
import soundfile

from benchmark.corpora._containers import counts_frames, lacking_bytes, page_lacks, streams, untagged
from benchmark.errors import DataError

RATE = 16_000
DECODER = "2"
"""Raise it when what is decoded or found wrong changes: what was remembered of audio counts no more then."""

Kind = Literal[
    "missing audio",
    "corrupt audio",
    "empty audio",
    "empty text",
    "text too long",
    "part of a file",
    "too long",
    "too short",
    "duplicate id",
]
KINDS: tuple[str, ...] = get_args(Kind)
_MP3_SLACK = 3 * 1152  # the count of frames in an MP3's header may leave out its own frame and the encoder's padding
_BLOCK = 1 << 18  # samples of all channels
_UNKNOWN = (1 << 63) - 1  # libsndfile's number of samples of a FLAC that does not say it
_SLOWEST, _FASTEST = 1_000, 768_000  # Hz


class AudioError(DataError):
    """Audio that cannot be used: ``kind`` is one of ``KINDS``, ``detail`` says more; the text names the place too."""

    def __init__(self, where: str, kind: Kind, detail: str) -> None:
        super().__init__(f"{where}: {detail}")
        self.kind, self.detail = kind, detail


class _Once(soundfile.SoundFile):
    """A file that is read from its beginning to its end, once.

    ``soundfile`` makes room for all that a header promises, and seeks after each part that it reads, which an
    unknown length does not allow and of which Opus is not the same afterwards.
    """

    def seekable(self) -> bool:
        """Say that it cannot be searched."""
        return False


def decode(raw: bytes, where: str) -> np.ndarray:
    """Return mono float32 samples at 16 kHz in [-1, 1], shape ``(samples,)``.

    WAV, AIFF, FLAC, Ogg (Vorbis, Opus) and MP3 of any number of channels and 1 to 768 kHz; of chained Ogg and joined
    MP3s all parts, one after the other. ``where`` names the audio in errors.

    Raises:
        AudioError: not audio, cut off, empty, of no rate of sound, or numbers that are no sound.
    """
    if not raw:
        raise AudioError(where, "empty audio", "audio file is empty (0 bytes)")
    parts = [_decode(part, where) for part in streams(untagged(raw))]
    sound = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if not sound.size:
        raise AudioError(where, "empty audio", "audio is empty")
    return sound


def _decode(raw: bytes, where: str) -> np.ndarray:
    """Return the samples of a file that holds one stream, as ``decode`` does."""
    try:
        with _Once(io.BytesIO(raw)) as file:
            promised, rate, kind = file.frames, file.samplerate, file.format
            if not _SLOWEST <= rate <= _FASTEST:
                raise AudioError(where, "corrupt audio", f"a sampling rate of {rate} Hz is none of sound")
            counted = kind != "MP3" or counts_frames(raw)
            mono = _mixed(file) if counted else _to_the_end(raw)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = getattr(error, "error_string", str(error)).rstrip(".")  # without the address of a buffer
        raise AudioError(where, "corrupt audio", f"audio cannot be decoded ({reason})") from error
    lacking = _lacking(raw, kind, promised, len(mono))
    if lacking:
        raise AudioError(where, "corrupt audio", f"audio is cut off ({lacking})")
    if not np.isfinite(mono).all():
        raise AudioError(where, "corrupt audio", "audio holds values that are not finite")
    if rate != RATE and mono.size:
        from scipy.signal import resample_poly  # takes a second to import, and whoever only lists corpora need not wait

        shared = int(np.gcd(rate, RATE))
        mono = resample_poly(mono, RATE // shared, rate // shared)
    return np.asarray(np.clip(mono, -1, 1), dtype=np.float32)


def _mixed(file: soundfile.SoundFile) -> np.ndarray:
    """Return the mean of the channels, shape ``(samples,)``, of all that is there, whatever the header promises."""
    blocks = [np.zeros(0, dtype=np.float32)]
    while len(block := file.read(max(1, _BLOCK // file.channels), dtype="float32", always_2d=True)):
        blocks.append(block.mean(axis=1))
    return np.concatenate(blocks)


def _lacking(raw: bytes, kind: str, promised: int, found: int) -> str:
    """Return how much of a file is there, or nothing when all is: libsndfile takes a cut-off file without a word."""
    if lacking := lacking_bytes(raw):
        return lacking
    if kind == "FLAC" and found < promised < _UNKNOWN:
        return f"{found} of {promised} samples"
    if kind == "MP3" and counts_frames(raw) and found + _MP3_SLACK < promised:
        return f"{found} of {promised} samples"
    if kind == "OGG" and (missing := page_lacks(raw)):
        return f"its last page lacks {missing} bytes"
    return ""


def _to_the_end(raw: bytes) -> np.ndarray:
    """Return all samples of an MP3 that does not count its frames, shape ``(samples,)``.

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
            return _mixed(file)
    finally:
        os.close(end)
        writer.join()
