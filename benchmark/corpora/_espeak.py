"""The espeak-ng worker: a program of its own, ``python -m benchmark.corpora._espeak LANGUAGE``.

espeak-ng is GPL-3. It is loaded here only, in a separate process that speaks a plain protocol over pipes; nothing
that imports ``benchmark`` links to it. ``benchmark.corpora._speech`` is the other end of the pipe.

Protocol: one JSON object a line on stdin, ``{"variant", "rate", "pitch", "text"}`` (rate in words a minute, pitch in
0..100); for each, one frame on stdout: a header ``<iI`` (status, bytes) and a body (PCM, or the error's text). The very
first frame is sent before any request and carries the sample rate (status 0) or why espeak-ng cannot be used (1).

espeak-ng keeps state between utterances (phase, glottal shape, random numbers), so the same request sounds slightly
different depending on what was said before. Each utterance is therefore synthesised in a forked child, which starts
from the state just after initialisation, and espeak-ng's own random numbers are seeded by the request: measured over
33 voices in separate processes, the bytes then depend on the request alone. It costs about 1.7 ms an utterance.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
import zlib
from collections.abc import Iterable
from typing import Any, BinaryIO

HEADER = struct.Struct("<iI")
OK, FAILED = 0, 1
_SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: the callback has had everything when espeak_Synth returns
_DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: missing data is a return code instead of the end of the process
_UTF8 = 1
_POS_CHARACTER = 1
_RATE, _PITCH = 1, 3
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class SpeechError(Exception):
    """espeak-ng refused a request."""


class Espeak:
    """The library with one language's voice, loaded once; ``speak`` once per process for reproducible bytes.

    Raises:
        SpeechError: the data folder or the language is missing.
    """

    def __init__(self, language: str) -> None:
        import espeakng_loader

        self._lib: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        self._data = espeakng_loader.get_data_path()
        self._language = language
        self.rate: int = self._lib.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(self._data), _DONT_EXIT)
        if self.rate <= 0:
            raise SpeechError(f"espeak_Initialize returned {self.rate} with the data folder {self._data}")
        if self._lib.espeak_SetVoiceByName(language.encode()) != 0:  # here, so that no child reads the dictionary
            raise SpeechError(f"espeak-ng has no language {language!r}")
        self._pcm: list[bytes] = []
        self._callback = _CALLBACK(self._collect)  # kept: ctypes does not hold on to it
        self._lib.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            self._pcm.append(ctypes.string_at(samples, 2 * count))
        return 0

    def speak(self, variant: str, rate: int, pitch: int, text: str) -> bytes:
        """Return int16 little-endian mono PCM at ``self.rate``.

        Raises:
            SpeechError: unknown voice variant, or the synthesis failed.
        """
        voice = f"{self._language}+{variant}"
        # espeak-ng takes an unknown variant without a word and speaks with the plain voice.
        known = os.path.isfile(os.path.join(self._data, "voices", "!v", variant))
        if not known or self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SpeechError(f"espeak-ng has no voice {voice!r}")
        self._lib.espeak_SetParameter(_RATE, rate, 0)
        self._lib.espeak_SetParameter(_PITCH, pitch, 0)
        seed = zlib.crc32(f"{voice} {rate} {pitch} {text}".encode()) & 0x7FFFFFFF
        self._lib.espeak_ng_SetRandSeed(ctypes.c_long(seed))  # else breath and flutter are seeded by the clock
        self._pcm.clear()
        raw = text.encode() + b"\0"
        code = self._lib.espeak_Synth(raw, ctypes.c_size_t(len(raw)), 0, _POS_CHARACTER, 0, _UTF8, None, None)
        if code != 0:
            raise SpeechError(f"espeak_Synth returned {code} for {text!r}")
        return b"".join(self._pcm)


def _frame(status: int, body: bytes) -> bytes:
    return HEADER.pack(status, len(body)) + body


def _answer(espeak: Espeak, line: bytes) -> bytes:
    request = json.loads(line)
    try:
        return _frame(OK, espeak.speak(request["variant"], request["rate"], request["pitch"], request["text"]))
    except SpeechError as error:
        return _frame(FAILED, str(error).encode())


def _in_child(espeak: Espeak, line: bytes) -> bytes:
    """Answer one request in a forked child, and return its frame (an error frame when it died)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(_answer(espeak, line))
            code = 0
        finally:
            os._exit(code)  # whatever happened: a child must never run on into its parent's loop
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        frame = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0:
        return _frame(FAILED, f"espeak-ng died with wait status {status} on {line.decode().strip()}".encode())
    return frame


def serve(language: str, requests: Iterable[bytes], answers: BinaryIO) -> None:
    """Answer requests until the pipe is closed."""
    try:
        espeak = Espeak(language)
    except (ImportError, OSError, SpeechError) as error:
        answers.write(_frame(FAILED, f"{type(error).__name__}: {error}".encode()))
        answers.flush()
        return
    answers.write(_frame(OK, struct.pack("<I", espeak.rate)))
    answers.flush()
    answer = _in_child if hasattr(os, "fork") else _answer  # without fork (Windows) the bytes vary a little
    for line in requests:
        answers.write(answer(espeak, line))
        answers.flush()


if __name__ == "__main__":
    serve(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)
