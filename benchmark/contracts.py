"""What every method promises, as plain functions: for our own tests, and for those of plug-ins outside.

    import pytest
    from benchmark import contracts

    @pytest.mark.parametrize("budget", contracts.budgets("my_method"), ids=str)
    def test_it_keeps_the_contract(budget):
        contracts.check_program("my_method", budget)
        contracts.check_pruning("my_method", budget)

or, in one go, ``contracts.check_method("my_method")``. A broken promise is an ``AssertionError`` that says which, or
the ``PrunebenchError`` that the harness would stop with (a budget missed, a program that trains another number of
steps). Nothing is trained: a Calibrate step is answered with random statistics, on a tiny random Whisper. torch is
imported by ``check_pruning`` alone.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.api import (
    Budget,
    Calibrate,
    Fit,
    Method,
    MethodConfig,
    Prune,
    Quantise,
    Refill,
    Rewind,
    Statistic,
    Step,
)
from benchmark.errors import SpecError
from benchmark.harness.tree import LONGEST_PROGRAM, checked_program
from benchmark.promises import check_described, check_ranges, check_words, promise
from benchmark.registry import REGISTRY
from benchmark.specs import digest

if TYPE_CHECKING:
    import torch
    from transformers import WhisperForConditionalGeneration

    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Structure

KEEPS = (0.8, 0.65, 0.5)
"""Kept fractions that a method is tried at. Half of the tiny model is what whole layers can still reach."""
TOTALS = (100, 97)
"""Training steps that a program is asked for; halves of the second are not whole."""
EXACT = 1e-9
"""Largest difference of logits between the masked and the shrunk model in float64, as a share of the largest logit."""
RANK_HELD = 1e-5
"""Largest singular value beyond the rank of a plan, as a share of the largest; a rule computes in single precision."""


def budgets(name: str, keeps: Sequence[float] = KEEPS) -> list[Budget]:
    """Return the budgets to try a method at: every kind that it knows, each at all kept fractions."""
    return [
        budget
        for kind in sorted(REGISTRY.lookup("method", name).budgets)
        for budget in ([Budget()] if kind == "none" else [Budget(kind=kind, keep=keep) for keep in keeps])
    ]


def check_method(name: str, /, keeps: Sequence[float] = KEEPS, **options: Any) -> None:
    """Check all that a method promises, with these options, at each of its budgets."""
    check_card(name)
    check_config(name, **options)
    for budget in budgets(name, keeps):
        check_program(name, budget, **options)
        check_pruning(name, budget, **options)


def check_card(name: str, /) -> None:
    """Check that the class docstring says what the method does, first in one line for the table of ``ls``."""
    check_words(name, REGISTRY.lookup("method", name).card())


def check_config(name: str, /, **options: Any) -> None:
    """Check that options are typed, described, and the same again when read back from a record; and their ranges."""
    method: Method = REGISTRY.get("method", name, **options)
    config, kind = method.config, type(method.config)
    check_described(name, config)
    promise(
        kind.model_validate(config.model_dump()) == config, f"{name}: options change when they are dumped and read back"
    )
    promise(
        kind.model_validate_json(config.model_dump_json()) == config,
        f"{name}: options change on their way through JSON",
    )
    recorded = config.model_dump(mode="json", exclude_defaults=True)  # what a cell's identity holds
    again = REGISTRY.get("method", name, **recorded).config
    promise(again == config, f"{name}: options {recorded} of a record do not give the method that made it")
    check_ranges(name, kind)
    for budget in budgets(name, KEEPS[:1]) if isinstance(config, MethodConfig) else ():
        turned = {one.name for one in method.searchable(budget) if one.usual}
        promise("split" in turned, f"{name}: 'split' is not in the space of a study; leave its field as it is")
    unknown = "_no_such_option"
    try:
        REGISTRY.get("method", name, **{unknown: 1})
    except SpecError:
        return
    raise AssertionError(f"{name}: an unknown option is taken; derive Config from benchmark.api.Config")


def check_program(name: str, budget: Budget, /, **options: Any) -> None:
    """Check that the program is finite plain data, equal whenever it is asked for, and as long as all others."""
    method: Method = REGISTRY.get("method", name, **options)
    for total in TOTALS:
        program = checked_program(name, method, budget, total)
        fresh = checked_program(name, REGISTRY.get("method", name, **options), budget, total)
        for other in (checked_program(name, method, budget, total), fresh):
            promise(program == other, f"{name}: two calls of program() for {total} steps under {budget} differ")
        same = digest(program, defaults=True) == digest(fresh, defaults=True)
        promise(same, f"{name}: two equal programs under {budget} have different hashes; steps must be plain data")
        trained = sum(step.steps for step in program if isinstance(step, Fit))
        promise(trained in (0, total), f"{name}: trains {trained} steps under {budget}, but {total} were given")
        if isinstance(method.config, MethodConfig):
            _check_split_one(name, budget, total, options)


def _check_split_one(name: str, budget: Budget, total: int, options: dict[str, Any]) -> None:
    """Check that ``split`` 1 leaves no training for after the last Prune; the method, or its options, may forbid it."""
    try:
        method: Method = REGISTRY.get("method", name, **{**options, "split": 1.0})
        tuple(itertools.islice(method.steps(budget, total), LONGEST_PROGRAM))
    except SpecError:
        return
    program = checked_program(name, method, budget, total)  # what it does say is held to the contract
    pruned = [place for place, step in enumerate(program) if isinstance(step, Prune)]
    later = program[pruned[-1] + 1 :] if pruned else ()
    promise(
        not any(isinstance(step, Fit) for step in later),
        f"{name}: trains after the last Prune under {budget} although split = 1; take the first Fit's steps from "
        "Method.before",
    )


def check_pruning(name: str, budget: Budget, /, **options: Any) -> None:
    """Check what the Prunes of the program do to a tiny model.

    Each one meets its rule's budget and takes away only from what was there, the last one meets ``budget``; the plan
    and the weights are the same again at an equal seed; and the shrunk model computes what the masked one does.
    """
    import torch

    with _one_thread():
        ends = []
        for state in (1, 2):  # of the global generator, which no rule may draw from
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(state)
                ends.append(_carried_out(name, budget, options))
        _check_shrunk(name, ends[0], budget)
    one, other = ends
    promise(
        one.plan == other.plan,
        f"{name}: two plans at equal seeds under {budget} differ; draw from view.generator(...) only",
    )
    weights = other.model.state_dict()
    for key, value in one.model.state_dict().items():
        promise(torch.equal(value, weights[key]), f"{name}: rewrites {key} differently at equal seeds under {budget}")


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute in one thread: in matrices this small, the others cost ten times what they save."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _End:
    """Where a program ended: a model with the weights that its rules left, not masked yet, and the plan for it."""

    model: WhisperForConditionalGeneration
    structure: Structure
    plan: Plan


def _carried_out(name: str, budget: Budget, options: dict[str, Any]) -> _End:
    """Carry out a program without training: a Fit only holds the plan, a Calibrate is answered with random numbers."""
    from benchmark.pruning.applying import prune_
    from benchmark.pruning.budgets import check_budget
    from benchmark.pruning.propagation import refilled
    from benchmark.whisper.masking import Masker
    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Structure
    from benchmark.whisper.tiny import random_statistics, tiny_whisper
    from benchmark.whisper.view import View

    dense = tiny_whisper().double()
    model, structure = copy.deepcopy(dense), Structure.of(dense)
    plan, smallest = Plan(), 1
    statistics: dict[Statistic, dict[str, torch.Tensor]] = {}
    program: tuple[Step, ...] = checked_program(name, REGISTRY.get("method", name, **options), budget, TOTALS[0])
    for step in program:
        if isinstance(step, Fit):
            Masker(model, structure, plan).apply_()
            statistics = {}
        elif isinstance(step, Calibrate):
            statistics = {**statistics, **random_statistics(structure, step.statistics)}
        elif isinstance(step, Refill):
            Masker(model, structure, plan).apply_()
            plan = refilled(structure, plan, compact=step.compact)
        elif isinstance(step, Rewind):
            model.load_state_dict(dense.state_dict())
        elif isinstance(step, Quantise):
            plan = plan.then(Plan(quantised=step.kind))
        elif isinstance(step, Prune):
            pruned = prune_(step.rule, View(model, structure, plan, 7, statistics), model)
            _check_composes(name, plan, pruned.plan)
            plan = pruned.plan
            smallest = max(smallest, step.rule.smallest(structure))
    check_budget(plan, structure, budget, smallest)
    return _End(model, structure, plan)


def _check_composes(name: str, before: Plan, after: Plan) -> None:
    """Check that a plan is idempotent, and takes away from what was there before and gives nothing back."""
    promise(after.then(after) == after, f"{name}: a plan composed with itself is another plan")
    promise(before.then(after) == after, f"{name}: a Prune gives back what an earlier one took away")


def _check_shrunk(name: str, end: _End, budget: Budget) -> None:
    """Check that surgery changes nothing of what the masked model computes, on the tokens that are left.

    Layers turn compact where the harness makes them so, after the masks were applied: a wrong column would show.
    """
    import torch

    from benchmark.pruning.propagation import compacted
    from benchmark.whisper.masking import Masker
    from benchmark.whisper.surgery import shrink
    from benchmark.whisper.tiny import features, token_ids

    masked = copy.deepcopy(end.model)
    Masker(masked, end.structure, end.plan).apply_()
    _hold_ranks_(name, masked, end.plan)
    plan = end.plan if budget.kind == "prunable_stored" else compacted(end.structure, end.plan)
    shrunk = shrink(masked, plan)
    vocabulary = end.structure.tokens
    every = torch.arange(0 if vocabulary is None else vocabulary.count)
    tokens = every if vocabulary is None else end.plan.kept.get(vocabulary.key, every)
    ids, sound = token_ids(shrunk) % len(tokens), features(masked)
    with torch.no_grad():
        expected = masked(input_features=sound, decoder_input_ids=tokens[ids]).logits[..., tokens]
        found = shrunk(input_features=sound, decoder_input_ids=ids).logits
    off = float((found - expected).abs().max() / expected.abs().max())
    promise(
        off <= EXACT, f"{name}: logits of the shrunk model are off those of the masked one by {off:.1e} of the largest"
    )


def _hold_ranks_(name: str, model: WhisperForConditionalGeneration, plan: Plan) -> None:
    """Check that matrices have the ranks that the plan stores them at, and take the rest of their rounding away."""
    import torch

    for key, rank in plan.ranks.items():
        weight: torch.Tensor = model.get_parameter(key).data
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
        beyond = float(values[rank:].max() / values[0]) if rank < len(values) else 0.0
        promise(
            beyond <= RANK_HELD,
            f"{name}: {key} is planned at rank {rank}, but what its rule's rewrite() left of it is not of that rank",
        )
        weight.copy_((left[:, :rank] * values[:rank]) @ right[:rank])
