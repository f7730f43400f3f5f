"""Does a saved folder compute what the model in memory does? A fresh process opens it, by ``load`` and without."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.utils import logging

from benchmark.errors import PrunebenchError, StoreError

if TYPE_CHECKING:
    from transformers import GenerationConfig, WhisperForConditionalGeneration

_TOLERANCE = 1e-5  # of the largest logit: the same arithmetic, but memory may be aligned differently
_PROMPT, _NEW = 8, 8
_NO_MEANING = {"transformers_version", "_from_model_config"}


def check_folder(model: WhisperForConditionalGeneration, folder: Path) -> None:
    """Open ``folder`` in a fresh process and compare logits, greedy tokens and generation config with ``model``.

    Raises:
        StoreError: something differs, or the folder does not open there.
    """
    import benchmark

    with tempfile.TemporaryDirectory() as scratch:
        try:
            save_file(probe(model), Path(scratch) / "expected.safetensors")
        except (RuntimeError, ValueError, IndexError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise StoreError(
                f"self-check: the model itself does not decode ({reason}); save with check=False"
            ) from error
        (Path(scratch) / "generation.json").write_text(json.dumps(fields(model.generation_config)))
        roots = [str(Path(benchmark.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(root for root in roots if root),
            "HF_HUB_OFFLINE": "1",
            "HF_MODULES_CACHE": str(Path(scratch) / "modules"),
            "CUDA_VISIBLE_DEVICES": "",
        }
        # Equal threads: the order of a sum, and so its last bits, depends on them.
        arguments = [str(folder.resolve()), scratch, str(torch.get_num_threads())]
        command = [
            sys.executable,
            "-P",
            "-m",
            "benchmark.whisper._selfcheck",
            *arguments,
        ]  # -P: not where the user stands
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
        raise StoreError(f"self-check: {lines[-1] if lines else f'the process ended with {done.returncode}'}")


@torch.no_grad()
def probe(model: WhisperForConditionalGeneration) -> dict[str, Tensor]:
    """Return logits and greedy tokens on a fixed random input, computed on the CPU in eval mode."""
    if model.device.type != "cpu":
        model = copy.deepcopy(model).cpu()
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        generator = torch.Generator().manual_seed(0)
        shape = (1, model.config.num_mel_bins, 2 * model.config.max_source_positions)
        features = torch.randn(shape, generator=generator).to(model.dtype)
        room = model.config.max_target_positions
        prompt = torch.randint(model.config.vocab_size, (1, min(_PROMPT, room)), generator=generator)
        prompt[:, 0] = model.config.decoder_start_token_id
        logits = model(input_features=features, decoder_input_ids=prompt).logits
        new = max(1, min(_NEW, room - 8))  # the task's own prompt tokens need some of the room
        loud = logging.get_verbosity()
        logging.set_verbosity_error()  # it would warn of our limit beside the model's own
        try:
            tokens = model.generate(features, do_sample=False, num_beams=1, max_new_tokens=new)
        finally:
            logging.set_verbosity(loud)
    finally:
        for module, training in modes.items():
            module.training = training
    return {"logits": logits.float().contiguous(), "tokens": tokens.contiguous()}


def fields(generation: GenerationConfig) -> dict[str, Any]:
    """Return the fields of a generation config as plain JSON data, without those that only say who wrote it."""
    plain = json.loads(json.dumps(generation.to_dict(), default=str))
    return {name: value for name, value in plain.items() if name not in _NO_MEANING}


def compare(model: WhisperForConditionalGeneration, expected: dict[str, Tensor], generation: dict[str, Any]) -> str:
    """Return what differs as one line; empty when nothing does."""
    found = probe(model)
    if found["logits"].shape != expected["logits"].shape:
        return f"logits have shape {tuple(found['logits'].shape)}, expected {tuple(expected['logits'].shape)}"
    difference = float((found["logits"] - expected["logits"]).abs().max())
    largest = float(expected["logits"].abs().max())
    if not difference <= _TOLERANCE * largest:  # so written, nan fails
        return f"logits differ by {difference:.3g} where the largest is {largest:.3g}"
    if not torch.equal(found["tokens"], expected["tokens"]):
        return f"greedy tokens are {found['tokens'].tolist()}, expected {expected['tokens'].tolist()}"
    here = fields(model.generation_config)
    for name in sorted({*here, *generation}):
        if here.get(name) != generation.get(name):
            return f"generation config: {name} is {here.get(name)!r}, expected {generation.get(name)!r}"
    return ""


def main(folder: str, scratch: str, threads: str) -> int:
    """Compare and print what differs, by our ``load`` and by transformers alone; return the exit code."""
    from transformers import AutoModelForSpeechSeq2Seq

    from benchmark.whisper.files import load

    torch.set_num_threads(int(threads))
    expected = load_file(Path(scratch) / "expected.safetensors")
    generation = json.loads((Path(scratch) / "generation.json").read_text())
    try:
        difference = compare(load(folder), expected, generation)
    except PrunebenchError as error:
        difference = str(error)
    if not difference:
        try:
            opened = AutoModelForSpeechSeq2Seq.from_pretrained(folder, local_files_only=True, trust_remote_code=True)
            difference = compare(opened.eval(), expected, generation)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError) as error:
            difference = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        difference = f"opened by transformers alone: {difference}" if difference else ""
    print(difference)
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
