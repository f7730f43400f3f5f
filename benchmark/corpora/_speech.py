"""Text to 16 kHz audio: the client of the espeak-ng worker, and the little bit of room that is put around its voice."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

import benchmark
from benchmark.corpora._espeak import FAILED, HEADER
from benchmark.corpora._grammar import rng
from benchmark.errors import DataError

RATE = 16_000
LONGEST_S = 3.0
_SEEN = ("m1", "m2", "m3", "m6", "m7", "f1", "f2", "f4")
_UNSEEN = ("m4", "max", "f3")
UNSEEN_SPLIT = "test-unseen-voice"
_FASTEST = 400  # words a minute; espeak-ng's own limit is 450
_MARGIN = 1.03  # espeak-ng's duration is not quite proportional to 1 / rate
_SILENCE = 160  # int16 steps: below this the end of an utterance is a pause, not speech
_TAIL_S = 0.05
_WAY_OUT = "reinstall it: pip install --force-reinstall espeakng-loader"


@dataclass(frozen=True)
class Speaker:
    """How one utterance is said: voice variant, rate (words a minute), pitch (0..100), noise and loudness."""

    variant: str
    rate: int
    pitch: int
    snr_db: float
    peak: float


def speakers(split: str) -> tuple[str, ...]:
    """Return the voice variants that speak a split."""
    return _UNSEEN if split == UNSEEN_SPLIT else _SEEN


def speaker(key: str, split: str, index: int) -> Speaker:
    """Draw the speaker of utterance ``index``: depends on corpus, split and index alone."""
    draw = rng(key, split, index, "speaker")
    variants = speakers(split)
    return Speaker(
        variant=variants[int(draw.integers(len(variants)))],
        rate=int(draw.integers(145, 196)),
        pitch=int(draw.integers(38, 63)),
        snr_db=float(draw.uniform(25, 35)),
        peak=float(draw.uniform(0.3, 0.9)),
    )


class Voice:
    """The worker process, as a context manager.

    Raises:
        DataError: espeak-ng cannot be loaded, the worker died, or it refused an utterance; the cause is named.
    """

    def __init__(self, language: str) -> None:
        self._language = language

    def __enter__(self) -> Self:
        # The worker must find this very package, also when it was found through a path set at run time.
        root = str(Path(benchmark.__file__).parents[1])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._stderr = tempfile.TemporaryFile()  # a pipe that nobody reads would block a talkative library
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "benchmark.corpora._espeak", self._language],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": path},
        )
        try:
            (self._rate,) = struct.unpack("<I", self._frame("at its start"))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # what was left to flush has no reader any more; the worker is gone already
        self._process.wait()
        self._stderr.close()

    def say(self, text: str, who: Speaker) -> np.ndarray:
        """Return the clean voice, int16 at 16 kHz, at most 3 s: an overlong utterance is said again, faster."""
        rate = who.rate
        while True:
            pcm = self._request(text, who, rate)
            sound = _to_16k(_trim(pcm, self._rate), self._rate)
            seconds = sound.size / RATE
            if seconds <= LONGEST_S:
                return sound
            if rate >= _FASTEST:
                raise DataError(f"{text!r} lasts {seconds:.1f} s at {rate} words a minute: shorten the pattern")
            rate = min(_FASTEST, int(np.ceil(rate * _MARGIN * seconds / LONGEST_S)))

    def _request(self, text: str, who: Speaker, rate: int) -> np.ndarray:
        line = json.dumps({"variant": who.variant, "rate": rate, "pitch": who.pitch, "text": text}) + "\n"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise DataError(self._death(f"before {text!r}")) from None
        pcm = np.frombuffer(self._frame(f"on {text!r}"), dtype="<i2")
        if pcm.size == 0:
            raise DataError(f"espeak-ng said nothing for {text!r} with the voice {who.variant!r}; {_WAY_OUT}")
        return pcm

    def _frame(self, moment: str) -> bytes:
        assert self._process.stdout is not None
        header = self._process.stdout.read(HEADER.size)
        if len(header) < HEADER.size:
            raise DataError(self._death(moment))
        status, size = HEADER.unpack(header)
        body = self._process.stdout.read(size)
        if len(body) < size:
            raise DataError(self._death(moment))
        if status == FAILED:
            raise DataError(f"espeak-ng cannot speak ({body.decode(errors='replace')}); {_WAY_OUT}")
        return body

    def _death(self, moment: str) -> str:
        code = self._process.wait()
        self._stderr.seek(0)
        said = self._stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
        return f"the espeak-ng worker died {moment} (exit status {code}{': ' + said if said else ''}); {_WAY_OUT}"


def _trim(pcm: np.ndarray, rate: int) -> np.ndarray:
    """Cut the pause that espeak-ng adds at the end of a sentence, but for a short tail."""
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > _SILENCE)
    return pcm[: int(loud[-1]) + 1 + int(_TAIL_S * rate)] if loud.size else pcm


@lru_cache(maxsize=4)
def _ratio(rate: int) -> tuple[int, int, np.ndarray]:
    """Return up, down and the low-pass of the change from ``rate`` to 16 kHz (resample_poly would design it anew)."""
    shared = int(np.gcd(rate, RATE))
    up, down = RATE // shared, rate // shared
    from scipy.signal import firwin  # takes a second to import, and whoever only lists corpora need not wait

    taps = firwin(20 * max(up, down) + 1, 1 / max(up, down), window=("kaiser", 5.0))
    return up, down, taps


def _to_16k(pcm: np.ndarray, rate: int) -> np.ndarray:
    from scipy.signal import resample_poly

    up, down, taps = _ratio(rate)
    return _int16(resample_poly(pcm.astype(np.float64), up, down, window=taps))


def _int16(samples: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.rint(samples), -32768, 32767), dtype="<i2")


def in_room(sound: np.ndarray, who: Speaker, draw: np.random.Generator) -> np.ndarray:
    """Return the voice (int16) at the speaker's loudness with light white noise, int16."""
    voice = sound.astype(np.float64) * (who.peak * 32767 / max(1, int(np.abs(sound.astype(np.int32)).max())))
    power = float(np.mean(np.square(voice))) / 10 ** (who.snr_db / 10)
    mixed = voice + draw.standard_normal(voice.size) * np.sqrt(power)
    return _int16(mixed)
