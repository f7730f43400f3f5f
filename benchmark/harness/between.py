"""The steps between two Fits, carried out on a state: what is pruned, gathered, refilled, quantised and rewound."""

from __future__ import annotations

import dataclasses

from benchmark.api import Calibrate, Prune, Quantise, Refill, Rewind, Rule, Step
from benchmark.errors import SpecError
from benchmark.harness.bench import Bench
from benchmark.harness.calibration import calibrate
from benchmark.harness.seeds import derive
from benchmark.harness.state import NodeLost, State, Workshop, snapshot
from benchmark.pruning.applying import prune_, write_
from benchmark.pruning.propagation import constants, refilled
from benchmark.whisper.masking import Masker
from benchmark.whisper.plan import Plan
from benchmark.whisper.view import View


def carry_out(
    steps: tuple[Step, ...],
    state: State,
    rewind_to: dict[int, str | None],
    bench: Bench,
    shop: Workshop,
    seed: int,
    *,
    training: bool,
) -> State:
    """Carry out the steps between two Fits on a state; only where ``training`` goes on is an optimiser rewound.

    Raises:
        BudgetMissedError: a rule's plan misses the rule's own budget.
        NodeLost: a node to rewind to is gone from the cache.
    """
    for step in steps:
        if isinstance(step, Prune):
            state = _prune(step.rule, state, bench, seed)
        elif isinstance(step, Calibrate):
            found, passes = calibrate(step, state, bench, seed)
            ledger = dataclasses.replace(state.ledger, calibration_passes=state.ledger.calibration_passes + passes)
            state = dataclasses.replace(state, statistics={**state.statistics, **found}, ledger=ledger)
        elif isinstance(step, Refill):
            state = _refill(step, state, bench)
        elif isinstance(step, Quantise):
            state = dataclasses.replace(state, plan=state.plan.then(Plan(quantised=step.kind)))
        elif isinstance(step, Rewind):
            node = rewind_to[step.to_step]
            past = shop.load(node, optimizer=training)
            if training and node is not None and past.optimizer is None:
                raise NodeLost(node, f"node {node} has no optimiser to rewind to")
            state = _refolded(dataclasses.replace(state, weights=past.weights, optimizer=past.optimizer), bench)
        else:
            raise SpecError(f"{type(step).__name__} is no step that can be carried out here")
    return state


def _prune(rule: Rule, state: State, bench: Bench, seed: int) -> State:
    """Return the state under the rule's plan, with what the rule and dead parts change of plan and weights."""
    model = bench.model(state)
    view = View(model, bench.structure, state.plan, derive(seed, "method"), state.statistics)
    pruned = prune_(rule, view, model)
    decided = state.decided.then(pruned.decided)
    return dataclasses.replace(state, plan=pruned.plan, decided=decided, weights=snapshot(model))


def _refolded(state: State, bench: Bench) -> State:
    """Return a rewound state in whose biases stands what its dead parts put out constantly: it was folded later."""
    model = bench.model(state)
    found = constants(View(model, bench.structure, Plan(), 0), state.decided)
    if not found:
        return state
    write_(model, found)
    return dataclasses.replace(state, weights=snapshot(model))


def _refill(step: Refill, state: State, bench: Bench) -> State:
    """Return the state whose zeros inside what is kept are weights like all others, at zero."""
    model = bench.model(state)
    Masker(model, bench.structure, state.plan).apply_()
    plan = refilled(bench.structure, state.plan, compact=step.compact)
    return dataclasses.replace(state, plan=plan, weights=snapshot(model))
