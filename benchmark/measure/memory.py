"""What a model's weights take, and the peak memory of inference with it in a fresh process. No torch on import.

A peak is the rise of resident memory above a process that has imported the libraries, decoded once with a tiny model
and opened and dropped the artefact (so that the libraries' own pages are there): weights, activations and caches.
How the artefact was opened does not count, for an attempt of a run is cut out of the whole dense model, and what ships
is not: the peak is reset between loading and decoding.

Each artefact has a process of its own: what one leaves in the allocator would be free for the next. Importing the
libraries takes seconds, so that process is forked from one that has imported them and has computed nothing.

``python -m benchmark.measure.memory FOLDER ... --features FILE`` prints one JSON line a folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from benchmark.errors import PrunebenchError
from benchmark.measure.decoding import Cache, Decoding, transcribe

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Peaks:
    """Peak memory of inference with one artefact, or why there is none."""

    by_batch: dict[int, int]
    """Bytes by batch; empty where they could not be measured."""
    reason: str | None = None


def weight_bytes(model: nn.Module) -> int:
    """Return the bytes of parameters and buffers, tied ones once, as they lie in memory while the model computes.

    An int8 layer has no parameters: its integers, scales and bias count.
    """
    from torch.ao.nn.quantized.dynamic import Linear as DynamicLinear

    tensors: list[torch.Tensor] = [*model.parameters(), *model.buffers()]  # each yields a tied tensor once
    for module in model.modules():
        if isinstance(module, DynamicLinear):
            weight, bias = module.weight(), module.bias()
            tensors += [weight.int_repr(), weight.q_per_channel_scales(), *([] if bias is None else [bias])]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def peak_memory(
    folders: Sequence[Path],
    features: np.ndarray,
    *,
    language: str,
    decoding: Decoding,
    batches: Sequence[int] = (1,),
    device: str | torch.device = "cpu",
    threads: int = 1,
) -> list[Peaks]:
    """Return the peak memory of decoding one batch with each artefact, in the order of ``folders``.

    Args:
        folders: model folders or attempts' folders, as ``benchmark.load`` opens them.
        features: log-mel windows of which the first ones are decoded, shape ``(N, mels, frames)``.
        language: Whisper's code, see ``transcribe``.
        decoding: beams, limit and cache; its batch is not read.
        batches: how many windows at once.
        device: ``cpu``: rise of resident memory (Linux alone can say that); CUDA: bytes that torch allocated.
        threads: threads of torch.
    """
    import numpy as np

    if not folders:
        return []
    if not _RESET.exists():
        return [Peaks({}, "resident memory can be measured on Linux alone")] * len(folders)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "features.npy"
        np.save(file, features[: max(batches)])
        options = {"features": file, "language": language, "beams": decoding.beams, "device": device}
        options |= {"threads": threads, "batches": ",".join(map(str, batches)), "tokens": decoding.max_new_tokens or 0}
        options["cache"] = decoding.cache
        listed = [str(folder.resolve()) for folder in folders]
        done = _fresh([*listed, *(f"--{name}={value}" for name, value in options.items())])
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    found = {one["folder"]: one for one in lines}
    lost = f"the process that measures ended with code {done.returncode}: {(done.stderr.splitlines() or [''])[-1]}"
    return [
        Peaks({int(batch): peak for batch, peak in found[name]["peaks"].items()}, found[name]["reason"])
        if name in found
        else Peaks({}, lost)
        for name in listed
    ]


def _fresh(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run this file as a program, by the package in use and not by what lies in the working directory."""
    import benchmark

    roots = [str(Path(benchmark.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(root for root in roots if root), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-P", "-m", "benchmark.measure.memory", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each folder in a process of its own and print what it took."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.measure.memory", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--features", type=Path, required=True, help="log-mel windows, a .npy file")
    parser.add_argument("--language", default="en", help="Whisper's code")
    parser.add_argument("--batches", default="1", help="windows at once, e.g. 1,16")
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=0, help="limit of tokens; 0: as many as the model has room for")
    parser.add_argument("--cache", default="dynamic", choices=get_args(Cache), help="see decoding.cache")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)

    import torch

    import benchmark.whisper.files
    import benchmark.whisper.tiny  # noqa: F401  imported before the fork, so that no child pays for it

    torch.set_num_threads(options.threads)
    for folder in options.folders:
        print(json.dumps({"folder": str(folder), **_in_a_child(folder, options)}), flush=True)


def _in_a_child(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    import multiprocessing

    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(theirs, folder, options))
    child.start()
    theirs.close()  # so that reading ends when the child does, whatever it died of
    try:
        said: dict[str, Any] = ours.recv()
    except EOFError:
        child.join()
        said = {"peaks": {}, "reason": f"the process that decoded ended with code {child.exitcode}"}
    child.join()
    return said


def _report(pipe: Any, folder: Path, options: argparse.Namespace) -> None:
    try:
        pipe.send({"peaks": _measure(folder, options), "reason": None})
    except PrunebenchError as error:
        pipe.send({"peaks": {}, "reason": str(error)})


def _measure(folder: Path, options: argparse.Namespace) -> dict[str, int]:
    """Return the peak by batch; the batches grow, so that each one's peak is its own."""
    import numpy as np

    from benchmark.whisper.files import load
    from benchmark.whisper.tiny import tiny_whisper

    features = np.load(options.features)
    decoding = Decoding(beams=options.beams, max_new_tokens=options.tokens or None, cache=options.cache)
    warm = decoding.model_copy(update={"max_new_tokens": 4})
    transcribe(tiny_whisper(), _Mute(), np.zeros((2, 8, 40), np.float32), language="en", decoding=warm)
    load(folder)  # opening the first model of a process leaves the code for it behind, which is no model
    _trim()
    before = resident("VmRSS")
    model = load(folder)
    _trim()
    reset_peak(options.device)
    peaks = {}
    for batch in sorted(map(int, options.batches.split(","))):
        windows, now = features[:batch], decoding.model_copy(update={"batch": batch})
        transcribe(model, _Mute(), windows, language=options.language, decoding=now, device=options.device)
        peaks[str(batch)] = _peak(options.device, before)
    return peaks


class _Mute:
    """A processor for texts that nobody reads."""

    def batch_decode(self, rows: list[list[int]], skip_special_tokens: bool) -> list[str]:
        return [""] * len(rows)


def reset_peak(device: str = "cpu") -> None:
    """Set the peak back to what is resident (CUDA: allocated) now."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        _RESET.write_text("5")


def _peak(device: str, before: int) -> int:
    import torch

    return (
        torch.cuda.max_memory_allocated(device) if torch.device(device).type == "cuda" else resident("VmHWM") - before
    )


def resident(field: str) -> int:
    """Return a figure of this process' status in bytes: ``VmRSS`` (now) or ``VmHWM`` (the peak)."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return 1024 * int(line.split()[1])


def _trim() -> None:
    """Give back what is free: what loading or another model left in the allocator is no memory of inference."""
    import ctypes
    import gc

    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)


if __name__ == "__main__":
    main()
