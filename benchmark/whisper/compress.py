"""One-shot compression without training data, for a notebook: model in, smaller model out."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from benchmark.api import Budget, Calibrate, Fit, Method, Prune, Quantise, Rule, Step
from benchmark.errors import BudgetMissedError, SpecError
from benchmark.registry import REGISTRY
from benchmark.specs import MethodSpec
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.surgery import shrink
from benchmark.whisper.view import View

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration

    from benchmark.pruning.groups import GroupRule

_CALLED = {"head": "head", "ffn_neuron": "neuron"}


def compress(
    model: WhisperForConditionalGeneration, method: str, /, keep: float, *, seed: int = 0, **config: Any
) -> WhisperForConditionalGeneration:
    """Return a new, physically smaller model with about ``keep`` of the prunable weights stored.

    ``method`` is the name of a method that needs no training to decide (``l1_group``, ``random_structured``), and
    ``config`` its options, e.g. ``groups=("head",), scope="layer"``. Where only some kinds of groups may go, ``keep``
    is the fraction of their weights; the others stay whole. Nothing is trained; fine-tune the result as you would any
    Whisper. ``model`` is not changed.

    Raises:
        SpecError: the model is no Whisper or holds weights that are not finite; the method is unknown, wants training
            or data, or cannot be held to a stored budget.
        BudgetMissedError: the method did not reach ``keep`` within the tolerance.
    """
    from benchmark.pruning.applying import prune_

    structure = Structure.of(model)
    _check_finite(model)
    budget = Budget.parse({"kind": "prunable_stored", "keep": keep}, where="compress")
    named = MethodSpec.named(method)
    rule = _single_rule(REGISTRY.get("method", named.name, **{**named.options, **config}), method, budget)
    rule = _of_what_may_go(rule, structure, keep)
    work = copy.deepcopy(model)
    try:
        return shrink(work, prune_(rule, View(work, structure, Plan(), seed), work).plan)
    except BudgetMissedError:
        # ``work`` may be rewritten by now, so the same decision is made once more on what was given.
        raise _missed(rule, View(model, structure, Plan(), seed), keep) from None


def _of_what_may_go(rule: Rule, structure: Structure, keep: float) -> Rule:
    """Return the rule with a budget that keeps ``keep`` of the groups that may go, and all of the others."""
    from benchmark.pruning.groups import GroupRule
    from benchmark.pruning.redraw import Redraw

    if isinstance(rule, Redraw):
        inner = _of_what_may_go(rule.rule, structure, keep)
        return rule.model_copy(update={"rule": inner, "budget": inner.budget})
    if not isinstance(rule, GroupRule):
        return rule
    budget = rule.budget.model_copy(update={"keep": 1 - (1 - keep) * _free(rule, structure) / structure.prunable})
    return rule.model_copy(update={"budget": budget})


def _free(rule: GroupRule, structure: Structure) -> int:
    """Return the weights of the groups that may go."""
    return sum(group.weights * group.count for group in structure.groups if group.kind in rule.groups)


def _missed(rule: Rule, view: View, keep: float) -> BudgetMissedError:
    """Return the error in the terms of what was asked: ``keep`` of the weights that may go, not of all of them."""
    from benchmark.pruning.budgets import reached
    from benchmark.pruning.groups import GroupRule
    from benchmark.pruning.propagation import propagated
    from benchmark.pruning.redraw import Redraw

    structure = view.structure
    got = reached(propagated(view, view.plan.then(rule.decide(view))), structure, "prunable_stored")
    inner, why, ways = rule.rule if isinstance(rule, Redraw) else rule, "", ["give another keep"]
    if isinstance(inner, GroupRule):
        free = _free(inner, structure)
        got = 1 - (1 - got) * structure.prunable / free
        least = sum(group.weights for group in structure.groups if group.kind in inner.groups) / free
        if keep < least:
            said = " and ".join(f"one {_CALLED[kind]}" for kind in inner.groups)
            why = f"; {said} a layer, which always stay, are {least:.4f} of them"
        elif inner.scope == "layer":
            ways.append("scope=global")
    return BudgetMissedError(
        f"keep = {keep:g} of the weights that may go is missed: {got:.4f} is what is reached near it{why}; "
        f"{', or '.join(ways)}"
    )


def last_ones(model: WhisperForConditionalGeneration) -> list[str]:
    """Return the groups that are down to one member, as ``head of NAME`` or ``neuron of NAME``.

    No rule takes it, whatever its budget: a layer without a head or neuron would not be a Whisper's layer.
    """
    return [f"{_CALLED[group.kind]} of {group.key}" for group in Structure.of(model).groups if group.count == 1]


def _check_finite(model: WhisperForConditionalGeneration) -> None:
    import torch

    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise SpecError(f"{name} holds weights that are not finite; give a model that was trained well")


def _single_rule(method: Method, name: str, budget: Budget) -> Rule:
    """Return the rule of the only Prune in the method's program."""
    if budget.kind not in method.budgets:
        raise SpecError(f"method {name!r} {_not_held(method)}; use `prunebench run` for it")
    # Two steps are the fewest a program can be written for; none of them is trained here.
    steps = list(method.steps(budget, total_steps=2))
    if reason := next(filter(None, map(_beyond, steps)), None):
        raise SpecError(f"method {name!r} {reason}; use `prunebench run` for it")
    rules = [step.rule for step in steps if isinstance(step, Prune)]
    if len(rules) != 1:
        raise SpecError(f"method {name!r} prunes {len(rules)} times; compress takes methods that prune exactly once")
    return rules[0]


def _not_held(method: Method) -> str:
    """Return why a method cannot be held to a fraction of what is stored."""
    if "prunable_nominal" in method.budgets:
        return "only sets weights to zero, and a zero is stored like any other number"
    if "none" in method.budgets:
        steps = list(method.steps(Budget(), total_steps=2))
        if not any(isinstance(step, Prune | Quantise) for step in steps):
            return "removes nothing: it is there to be compared with"
        if reason := next(filter(None, map(_beyond, steps)), None):
            return reason
    return f"cannot be held to a fraction of what is stored (budgets: {', '.join(sorted(method.budgets))})"


def _beyond(step: Step) -> str | None:
    """Return why a step cannot be carried out, or left out, where nothing is trained and no data is seen."""
    if isinstance(step, Prune):
        return None
    if isinstance(step, Fit):
        if step.penalty is not None:
            return "trains with a penalty before it prunes"
        return None if step.loss == "ce" else f"trains with loss = {step.loss}, and compress trains nothing"
    if isinstance(step, Calibrate):
        if "tokens" in step.statistics:
            return "needs training transcripts, and compress has no data"
        return "measures on training speech (a Calibrate step), and compress has no data"
    if isinstance(step, Quantise):
        return f"ends in {step.kind} layers, which have no form in a model folder"
    return f"needs a {type(step).__name__} step, and compress trains nothing"
