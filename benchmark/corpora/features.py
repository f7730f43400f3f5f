"""Log-mel features of a split: computed once, kept in the cache, memory-mapped by everyone who needs them."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from filelock import FileLock

from benchmark.api import Split
from benchmark.corpora._cache import cache_folder, sweep, temporary, write_atomically
from benchmark.errors import DataError

if TYPE_CHECKING:
    from transformers import WhisperFeatureExtractor

log = logging.getLogger(__name__)
BATCH = 64
RATE = 16_000
_LAYOUT = 1  # raise it when what is written changes: old files are then left alone


def log_mels(split: Split, extractor: WhisperFeatureExtractor, cache: Path | None = None) -> np.memmap:
    """Return the features of all utterances, shape ``(utterances, mels, frames)``, float16, read-only.

    ``cache`` is a folder (default: ``features`` in the user's cache). The file's name is a hash of the split's data and
    of the extractor's settings, so a changed corpus or extractor never meets old features. Of audio longer than
    the extractor's window they hold the beginning, and the number of such utterances is logged.

    Raises:
        DataError: the extractor is not for 16 kHz, or the cache cannot be written.
    """
    if extractor.sampling_rate != RATE:
        raise DataError(f"the feature extractor expects {extractor.sampling_rate} Hz; corpora hold {RATE} Hz")
    shape = (len(split), int(extractor.feature_size), int(extractor.nb_max_frames))
    path = (cache or cache_folder() / "features") / f"{_key(split, extractor)}.npy"
    found = _open(path, shape)
    if found is not None:
        return found
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            found = _open(path, shape)  # another process may have written it while this one waited
            if found is None:
                sweep(path.parent, temporary(path))
                log.info("computing log-mels of %d utterances into %s", len(split), path)
                write_atomically(path, lambda file: _write(file, split, extractor, shape))
                found = _open(path, shape)
    except OSError as error:
        raise DataError(
            f"{path}: cannot write features ({error}); set PRUNEBENCH_CACHE to a folder with room"
        ) from error
    if found is None:
        raise DataError(f"{path}: features cannot be read back after writing them; is the disk full?")
    return found


def _key(split: Split, extractor: WhisperFeatureExtractor) -> str:
    settings = json.dumps(extractor.to_dict(), sort_keys=True, default=str)
    return hashlib.sha256(f"{_LAYOUT}\n{split.data_hash}\n{settings}".encode()).hexdigest()


def _open(path: Path, shape: tuple[int, ...]) -> np.memmap | None:
    """Return the features at ``path``; None when there are none, or not of this shape, or cut off."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return None
    except (ValueError, EOFError, OSError) as error:
        log.warning("%s: not readable (%s); it is made again", path, error)
        return None
    if not isinstance(found, np.memmap) or found.shape != shape or found.dtype != np.float16:
        log.warning("%s: holds %s %s, not float16 %s; it is made again", path, found.dtype, found.shape, shape)
        return None
    return found


def _write(file: BinaryIO, split: Split, extractor: WhisperFeatureExtractor, shape: tuple[int, ...]) -> None:
    """Write a ``.npy`` batch by batch: the whole array need not fit into memory."""
    header = {"descr": "<f2", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    cut = 0
    for start in range(0, len(split), BATCH):
        sounds = []
        for index in range(start, min(start + BATCH, len(split))):
            sound = split.waveform(index)
            cut += sound.size > extractor.n_samples
            sounds.append(sound if sound.size <= extractor.n_samples else sound[: extractor.n_samples].copy())
        features = extractor(sounds, sampling_rate=RATE, return_tensors="np")["input_features"]
        file.write(np.ascontiguousarray(features, dtype="<f2").tobytes())
    if cut:
        log.warning(
            "%d of %d utterances are longer than %g s: features hold their beginnings",
            cut,
            len(split),
            extractor.n_samples / RATE,
        )
