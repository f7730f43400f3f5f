"""The shipped model itself: it hears speech, and what surgery makes of it says the same as the masked model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import benchmark
from benchmark.api import Budget, Prune
from benchmark.harness.bench import Bench
from benchmark.harness.state import State
from benchmark.measure.alignment import counts
from benchmark.measure.decoding import Decoding, transcribe
from benchmark.measure.scores import Normalised
from benchmark.specs import CorpusSpec, Leaderboard, Row
from benchmark.whisper.masking import Masker
from benchmark.whisper.plan import Plan
from benchmark.whisper.surgery import shrink
from benchmark.whisper.view import View

LIMITS = {"test": 0.06, "test-unseen-voice": 0.15}
"""Highest word error rates of the shipped model, with the normaliser ``hindi``."""


@pytest.fixture(scope="module")
def bench() -> Bench:
    spec = Leaderboard(
        grid=[Row(methods=[{"name": "shipped"}])], corpus=CorpusSpec(evaluate=dict.fromkeys(LIMITS, 40)), profile=None
    )
    return Bench(spec)


def said(bench: Bench, model, split: str) -> list[str]:
    heard = transcribe(
        model,
        bench.processor,
        bench.evaluations[split].features,
        language=bench.corpus.language,
        decoding=Decoding(),
        device="cpu",
    )
    return list(heard.texts)


@pytest.mark.parametrize("split", LIMITS)
def test_it_hears_speech(bench: Bench, split: str) -> None:
    item = bench.evaluations[split].split
    normalised = Normalised("hindi")
    model = bench.model(State()).eval()
    found = counts(normalised(list(item.texts), item.ids), normalised(said(bench, model, split), item.ids))
    assert found.rate <= LIMITS[split]


@pytest.mark.parametrize(("method", "keep"), [("l1_group", 0.6), ("random_structured", 0.7), ("sgl_adaptive", 0.8)])
def test_surgery_says_what_the_mask_says(bench: Bench, method: str, keep: float, tmp_path: Path) -> None:
    masked = bench.model(State()).eval()
    plan = Plan()
    for step in benchmark.get("method", method).program(Budget(kind="prunable_stored", keep=keep), total_steps=120):
        if isinstance(step, Prune):
            plan = plan.then(step.rule.decide(View(masked, bench.structure, plan, 0)))
    Masker(masked, bench.structure, plan).apply_()
    small = shrink(masked, plan).eval()
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in masked.parameters())

    features = torch.from_numpy(bench.evaluations["test"].features[:16].copy()).float()
    ids = torch.tensor(
        [bench.processor.tokenizer(text).input_ids[:8] for text in bench.evaluations["test"].split.texts[:16]]
    )
    with torch.inference_mode():
        ours, theirs = (model(features, decoder_input_ids=ids).logits for model in (small, masked))
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()
        prompt = {"language": "hi", "task": "transcribe"}
        tokens = small.generate(features, **prompt)
        assert torch.equal(tokens, masked.generate(features, **prompt))  # transformers' own, long road included
    assert said(bench, small, "test") == said(bench, masked, "test")

    folder = benchmark.save(small, tmp_path / "artefact", check=False)
    save_file({"features": features, "ids": ids}, tmp_path / "given.safetensors")
    command = [sys.executable, "-c", ELSEWHERE, folder, tmp_path / "given.safetensors", tmp_path / "out"]
    subprocess.run([*map(str, command), str(torch.get_num_threads())], check=True)
    found = load_file(tmp_path / "out")
    assert torch.equal(found["logits"], ours)
    assert torch.equal(found["tokens"], tokens)


ELSEWHERE = """
import sys, torch, benchmark
from safetensors.torch import load_file, save_file
folder, given, out, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
model, given = benchmark.load(folder), load_file(given)
shipped = benchmark.get("model", "nano-hi").load()[0].generation_config
assert model.generation_config.to_dict() == shipped.to_dict()
with torch.inference_mode():
    logits = model(given["features"], decoder_input_ids=given["ids"]).logits
    tokens = model.generate(given["features"], language="hi", task="transcribe")
save_file({"logits": logits.contiguous(), "tokens": tokens.contiguous()}, out)
"""
