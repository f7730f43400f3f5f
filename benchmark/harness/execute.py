"""The two units of work: a node of the tree (a Fit), and the evaluation of a cell."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmark.api import Prune
from benchmark.harness.augment import hiding
from benchmark.harness.batches import stream_order
from benchmark.harness.bench import Bench, device
from benchmark.harness.between import carry_out
from benchmark.harness.callback import Progress
from benchmark.harness.checkpoints import Checkpoints
from benchmark.harness.environment import environment
from benchmark.harness.looking import Eyes, Looks
from benchmark.harness.seeds import derive
from benchmark.harness.state import State, Workshop, snapshot
from benchmark.harness.training import Given, fit
from benchmark.harness.tree import CellPath, Node, Tree
from benchmark.harness.unfinished import spent
from benchmark.harness.watch import Stopped
from benchmark.measure.counting import macs, nonzero, parameters
from benchmark.measure.decoding import Decoding
from benchmark.measure.long_form import transcribe_all
from benchmark.measure.memory import weight_bytes
from benchmark.pruning.budgets import allowance, check_budget, reached
from benchmark.pruning.propagation import compacted
from benchmark.specs import Training
from benchmark.store.records import MODEL, PLAN, Attempt, Record, clear_uncommitted
from benchmark.whisper.masking import Masker
from benchmark.whisper.plan import Plan
from benchmark.whisper.quantise import quantise
from benchmark.whisper.states import write_state
from benchmark.whisper.surgery import shrink
from benchmark.whisper.view import View
from benchmark.whisper.vocabulary import processor_of

DECODER_POSITION = 31
"""Decoder position at which a token's MACs are counted: 32 keys in the self-attention cache."""


def train_node(
    node: Node,
    tree: Tree,
    bench: Bench,
    shop: Workshop,
    seed: int,
    progress: Progress | None,
    eyes: Eyes | None = None,
) -> Stopped | None:
    """Train one node from its parent's state and save it; None, or where ``eyes`` ended it, and then nothing is saved.

    Raises:
        FloatingPointError: the loss or a weight is not finite.
        LookFailedError: whoever looked raised.
    """
    recipe, material = tree.spec.training, bench.material
    state = carry_out(node.before, shop.load(node.parent), node.rewind_to, bench, shop, seed, training=True)
    model = bench.model(state)
    looks = None if eyes is None else Looks(eyes, model, state.plan, node.start)
    # What a look has seen is told once, to the study of that trial: a watched Fit begins again with its trial.
    checkpoints = Checkpoints.of(recipe, shop.run, node.id) if looks is None else None
    given = dataclasses.replace(
        _given(node, recipe, state, model, bench, seed),
        progress=progress,
        look=looks,
        checkpoints=checkpoints,
        logs=shop.run / "work" / "logs" / node.id,
    )
    lengths = [len(label) for label in material.labels] if recipe.group_by_length else None
    order = stream_order(len(material.labels), recipe.batch, seed, node.start, node.fit.steps, lengths)
    trained = fit(model, material, order, recipe, given)
    ledger = state.ledger.after(trained, taught=given.teacher is not None)
    if looks is not None:
        ledger.watched, ledger.seconds = looks.told(), ledger.seconds - looks.seconds  # looking is no training
        if looks.reason is not None:
            return Stopped(node.id, node.start + trained.steps, looks.reason, ledger)
    ledger.nodes.append(node.id)
    moments = trained.optimizer if tree.needs_optimizer(node.id) else None
    shop.save(node.id, State(snapshot(model), moments, state.plan, state.decided, ledger=ledger))
    if checkpoints is not None:
        checkpoints.drop()
    return None


def _given(node: Node, recipe: Training, state: State, model: Any, bench: Bench, seed: int) -> Given:
    """Return what the node's Fit depends on besides data and recipe."""
    return Given(
        steps=node.fit.steps,
        seed=derive(seed, "fit", node.start) % 2**31,
        penalty=node.fit.penalty,
        view=View(model, bench.structure, state.plan, derive(seed, "method")),
        masker=Masker(model, bench.structure, state.plan),
        optimizer=state.optimizer,
        teacher=bench.model(State()) if node.fit.loss == "ce+kd" else None,
        hide=hiding(recipe.spec_augment, bench.material.features.shape[1:], seed=seed, first=node.start * recipe.batch),
    )


def evaluate(path: CellPath, bench: Bench, shop: Workshop, run: Path, progress: Progress | None) -> Record:
    """Carry out what is left of a cell's program, operate, decode, count, and commit the record."""
    began = time.perf_counter()
    cell, structure = path.cell, bench.structure
    state = shop.load(path.last, optimizer=False)
    state = carry_out(path.tail, state, path.rewind_to, bench, shop, cell.seed, training=False)
    smallest = max([step.rule.smallest(structure) for step in path.program if isinstance(step, Prune)], default=1)
    check_budget(state.plan, structure, cell.budget, smallest)
    if cell.budget.kind != "prunable_stored":  # a stored budget counts what is compact: there the rule decides it
        state = dataclasses.replace(state, plan=compacted(structure, state.plan))
    dense = bench.model(state)
    Masker(dense, structure, state.plan).apply_()
    model = shrink(dense, state.plan).eval()
    if not state.plan.quantised:  # int8 is made of the fp32 weights
        model.to(bench.precision)

    clear_uncommitted(run, cell.id)  # of a process that died: whoever evaluates this cell holds its lock
    attempt = Attempt.create(run, cell.id, cell.identity())
    try:
        return _measured(path, bench, attempt, state, dense, model, smallest, progress, began)
    except BaseException:
        attempt.discard()
        raise


def _measured(
    path: CellPath,
    bench: Bench,
    attempt: Attempt,
    state: State,
    dense: Any,
    model: Any,
    smallest: int,
    progress: Progress | None,
    began: float,
) -> Record:
    """Write, count and decode a cell's model, and commit the record."""
    cell, spec, structure = path.cell, bench.spec, bench.structure
    state.plan.save(attempt.path / PLAN)
    executed = quantise(model) if state.plan.quantised else model
    write_state(executed, attempt.path / MODEL)
    counts = {
        "prunable": structure.prunable,
        "prunable_nonzero": state.plan.nonzero(structure),
        "prunable_stored": state.plan.stored(structure),
        "params_dense": parameters(dense),
        "params_nominal": nonzero(model),
        "params_stored": parameters(model),
        "bytes": (attempt.path / MODEL).stat().st_size,
        "weight_bytes": weight_bytes(executed),
        "macs": dataclasses.asdict(macs(model, min(DECODER_POSITION, model.config.max_target_positions - 1))),
    }
    if spec.keep_artefacts == "none" and spec.profile is None:  # what is timed is dropped after that
        (attempt.path / MODEL).unlink()
    data = _transcripts(attempt, executed, state.plan, bench, progress)
    if path.nodes:  # else nothing was trained on
        for name, found in bench.overlaps.items():
            data[name] |= {"in_training": found} if found else {}
    record = {
        "status": "ok",
        "error": None,
        "spec": cell.identity(),
        "plan": {
            "digest": state.plan.digest(),
            "nominal": state.plan.density(structure),
            "stored": state.plan.stored_density(structure),
            "quantised": state.plan.quantised,
        },
        "counts": counts,
        "budget": _budget(path, state, bench, smallest),
        "training": spent(state.ledger, bench.train_hash if path.nodes else None),
        "data": data,
        "decoding": {"signature": spec.decoding.signature()},
        "environment": environment(),
        "seconds": time.perf_counter() - began,
    }
    if state.ledger.watched is not None:
        record["watched"] = state.ledger.watched
    return attempt.commit(record)


def _budget(path: CellPath, state: State, bench: Bench, smallest: int) -> dict[str, Any]:
    budget = path.cell.budget
    got = None if budget.kind == "none" else reached(state.plan, bench.structure, budget.kind)
    return {
        "kind": budget.kind,
        "asked": budget.keep,
        "reached": got,
        "denominator": bench.structure.prunable,
        "tolerance": budget.tolerance,
        "allowed": allowance(bench.structure, budget, smallest),
    }


def _transcripts(attempt: Attempt, model: Any, plan: Plan, bench: Bench, progress: Progress | None) -> dict[str, Any]:
    """Decode every evaluation split and write its transcripts; return the record's ``data``."""
    spec, corpus = bench.spec, bench.corpus
    processor = processor_of(plan, bench.processor)
    decoding: Decoding = spec.decoding
    total = sum(len(item.split) for item in bench.evaluations.values())
    done_before, data = 0, {}
    for name, item in bench.evaluations.items():
        seconds = item.seconds
        said, longer = transcribe_all(
            model,
            processor,
            item.features,
            item.split.waveform,
            seconds,
            language=corpus.language,
            decoding=decoding,
            device="cpu" if plan.quantised else device(),
            progress=None if progress is None else _shifted(progress, done_before, total),
        )
        done_before += len(item.split)
        file = attempt.write_transcripts(
            spec.corpus.name,
            corpus.language,
            name,
            {
                "id": list(item.split.ids),
                "speaker": list(item.split.speakers),
                "reference": list(item.split.texts),
                "hypothesis": said.texts,
                "duration_s": seconds.tolist(),
                "tokens": said.tokens.tolist(),
                "truncated": said.truncated.tolist(),
                "looped": said.looped.tolist(),
            },
        )
        data[name] = {
            "hash": item.split.data_hash,
            "utterances": len(item.split),
            "skipped": len(item.split.skipped),
            "transcripts": file,
            **({"longer": longer} if longer else {}),  # than the window: decoded by Whisper's own rule
        }
    return data


def _shifted(progress: Progress, offset: int, total: int) -> Callable[[int], None]:
    """Count the utterances of the splits before as done."""
    return lambda done: progress(offset + done, total)
