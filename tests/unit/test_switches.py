"""The switches every method has: distillation in all training, and refilling what surgery leaves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.api import Budget, Fit, Prune, Refill, Step
from benchmark.errors import SpecError
from benchmark.harness.batches import IGNORED_LABEL, stream_order
from benchmark.harness.bench import Bench, device
from benchmark.harness.execute import train_node
from benchmark.harness.state import Workshop
from benchmark.harness.trainer import distillation
from benchmark.harness.training import Given, fit
from benchmark.harness.tree import grow
from benchmark.pruning.propagation import compacted, refilled
from benchmark.registry import REGISTRY
from benchmark.specs import Leaderboard
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from tests.unit.test_training import PAD, RECIPE, START, UTTERANCES, Tiny, material, tiny

NONE, STORED = Budget(), Budget(kind="prunable_stored", keep=0.6)
NOMINAL = Budget(kind="prunable_nominal", keep=0.6)


pytestmark = pytest.mark.usefixtures("one_thread")


def steps(name: str, budget: Budget, **options: Any) -> list[Step]:
    return list(REGISTRY.get("method", name, **options).steps(budget, 100))


# --- programs ---------------------------------------------------------------------------------------------------------


def test_the_loss_goes_into_every_fit_and_nothing_else_changes() -> None:
    for name, budget in (("dense", NONE), ("imp", NOMINAL), ("sgl_adaptive", STORED), ("taylor", STORED)):
        plain, taught = steps(name, budget), steps(name, budget, loss="ce+kd")
        assert {step.loss for step in taught if isinstance(step, Fit)} == {"ce+kd"}
        back = [s.model_copy(update={"loss": "ce"}) if isinstance(s, Fit) else s for s in taught]
        assert back == plain == list(REGISTRY.get("method", name).program(budget, 100))


@pytest.mark.parametrize(("budget", "compact"), [(NONE, True), (STORED, False)])
def test_a_refill_comes_between_pruning_and_training(budget: Budget, compact: bool) -> None:
    plain, filled = steps("sgl_adaptive", budget), steps("sgl_adaptive", budget, refill=True)
    at = next(index for index, step in enumerate(plain) if isinstance(step, Prune))
    assert filled == [*plain[: at + 1], Refill(compact=compact), *plain[at + 1 :]]


def test_a_refill_that_breaks_the_budget_or_does_nothing_is_refused() -> None:
    with pytest.raises(SpecError, match=r"magnitude: refill trains zeros again, and budget prunable_nominal@0.6"):
        steps("magnitude", NOMINAL, refill=True)
    for name in ("dense", "int8", "low_rank"):
        with pytest.raises(SpecError, match=f"{name}: refill has no effect"):
            steps(name, NONE, refill=True)


def test_compositions_and_controls_take_the_switches_of_the_part_that_trains() -> None:
    options = {"loss": "ce+kd", "refill": True}
    single = steps("sgl_adaptive", STORED, **options)
    parts = [{"name": "vocab_trim"}, {"name": "sgl_adaptive", "options": options}]
    composed = steps("compose", STORED, parts=parts)
    assert composed[: len(single)] == single
    assert composed[len(single) :] == list(REGISTRY.get("method", "vocab_trim").finish(NONE))
    drawn = steps("random_like", STORED, method="sgl_adaptive", options=options)
    assert [type(step) for step in drawn] == [type(step) for step in single]
    with pytest.raises(SpecError, match="loss is the affair of 'l1_group'; 'int8' trains nothing"):
        steps("compose", STORED, parts=[{"name": "l1_group"}, {"name": "int8", "options": {"loss": "ce+kd"}}])
    with pytest.raises(SpecError, match="'l1_group' and 'sgl_adaptive' train, and only one part can"):
        steps("compose", STORED, parts=[{"name": "l1_group"}, {"name": "sgl_adaptive"}])


# --- distillation -----------------------------------------------------------------------------------------------------


def test_distillation_is_the_softened_divergence_of_a_plain_loop() -> None:
    draw = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(2, 4, 7, generator=draw, dtype=torch.float64) for _ in range(2))
    labels = torch.tensor([[5, 1, IGNORED_LABEL, IGNORED_LABEL], [2, 2, 6, 0]])
    found = []
    for row in range(2):
        for at in range(4):
            if labels[row, at] == IGNORED_LABEL:
                continue
            t, s = (torch.softmax(x[row, at] / 2, dim=0).tolist() for x in (teacher, student))
            found.append(4 * sum(p * math.log(p / q) for p, q in zip(t, s, strict=True)))
    assert float(distillation(student, teacher, labels)) == pytest.approx(sum(found) / len(found), rel=1e-5)
    assert float(distillation(teacher, teacher, labels)) == pytest.approx(0, abs=1e-6)


def test_a_fit_with_a_teacher_follows_the_gradient_of_both_losses_and_leaves_the_teacher_alone() -> None:
    ours, theirs, teacher = tiny(), tiny(), tiny()
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.mul_(1.1)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    recipe, data = RECIPE.model_copy(update={"clip": 1e9, "weight_decay": 0.0}), material()
    order = stream_order(UTTERANCES, recipe.batch, 7, 0, 1)
    told = fit(ours, data, order, recipe, Given(steps=1, seed=0, teacher=teacher))
    rows = order.tolist()
    longest = max(len(data.labels[row]) for row in rows)
    tokens = torch.tensor([[*data.labels[r], *[PAD] * (longest - len(data.labels[r]))] for r in rows], device=device())
    inputs = torch.cat([torch.full((len(rows), 1), START, device=device()), tokens[:, :-1]], dim=1)
    features = torch.from_numpy(data.features[rows].astype(np.float32)).to(device())
    lengths = torch.tensor([len(data.labels[row]) for row in rows])
    labels = tokens.where(torch.arange(longest, device=device()) < lengths[:, None].to(device()), IGNORED_LABEL)
    logits = theirs.train()(input_features=features, decoder_input_ids=inputs).logits
    with torch.no_grad():
        taught = teacher(input_features=features, decoder_input_ids=inputs).logits
    loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED_LABEL)
    loss = loss + 0.8 * distillation(logits, taught, labels)
    named = {name: p for name, p in theirs.named_parameters() if p.requires_grad}
    gradients = dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))
    assert told.loss == pytest.approx(float(loss.detach()), rel=1e-5)
    for name, gradient in gradients.items():  # after one step the first moment is a tenth of the gradient
        torch.testing.assert_close(10 * told.optimizer[name]["exp_avg"], gradient.cpu(), rtol=1e-3, atol=1e-6, msg=name)
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


# --- carried out ------------------------------------------------------------------------------------------------------

SWITCHES = {"alpha": 0.5, "groups": "column", "rho": 0.9, "beta": 0.9, "loss": "ce+kd", "refill": True}


def test_what_is_gone_stays_gone_and_zeros_inside_what_is_kept_are_trained(tmp_path: Path) -> None:
    spec = Leaderboard.model_validate(
        {
            "grid": [{"methods": [{"name": "sgl_adaptive", "options": {"split": 0.5, **SWITCHES}}]}],
            "training": {**RECIPE.model_dump(), "steps": 8},
        }
    )
    bench, tree, shop = Bench(spec), grow(spec), Workshop(tmp_path)
    bench.source, bench.material = Tiny(), material()
    for node in tree.nodes.values():
        train_node(node, tree, bench, shop, seed=0, progress=None)
    (path,) = tree.cells
    first, last = shop.load(path.nodes[0]), shop.load(path.last)
    assert (first.ledger.teacher_passes, last.ledger.teacher_passes) == (4 * RECIPE.batch, 8 * RECIPE.batch)
    assert last.weights and not last.plan.masks
    assert last.plan.columns  # the thresholds were chosen so that some matrices are worth gathering
    trained = 0
    for matrix in bench.structure.matrices:
        kept, weight = last.plan.mask(matrix), last.weights[matrix.name]
        assert not weight[~kept].any()
        trained += int((weight[kept] != 0).sum())
    assert trained == last.plan.stored(bench.structure)  # no zero is left inside what is stored


def test_refilled_keeps_what_is_gone_as_a_whole() -> None:
    structure = Structure.of(tiny())
    draw = torch.Generator().manual_seed(0)
    masks = {m.name: torch.rand(m.shape, generator=draw) < 0.5 for m in structure.matrices}
    for matrix in structure.matrices:
        masks[matrix.name][:, : matrix.shape[1] // 2] = False
    plan = Plan(kept={structure.groups[0].key: torch.tensor([1])}, masks=masks)
    whole = refilled(structure, plan, compact=True)
    assert whole == Plan(plan.kept, {}, compacted(structure, plan).columns)
    assert whole.stored(structure) == compacted(structure, plan).stored(structure) == whole.nonzero(structure)
    assert refilled(structure, plan, compact=False) == Plan(plan.kept)


def test_a_spec_that_asks_for_a_teacher_names_no_other_node() -> None:
    grid = [{"methods": ["dense", {"name": "dense", "options": {"loss": "ce+kd"}}]}]
    tree = grow(Leaderboard.model_validate({"grid": grid, "training": {"steps": 10}}))
    plain, taught = tree.cells
    assert plain.cell.id != taught.cell.id and not set(plain.nodes) & set(taught.nodes)
