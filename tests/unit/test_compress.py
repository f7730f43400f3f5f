"""One-shot compression: a smaller model, or one line that says why this method cannot do it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from benchmark.api import Budget, Fit, Method, Prune, Rule, Step
from benchmark.errors import BudgetMissedError, SpecError
from benchmark.whisper.compress import _single_rule, compress
from benchmark.whisper.structure import Structure
from tests.tiny import features, tiny_whisper


def test_compress_gives_a_smaller_model_and_leaves_the_input_alone() -> None:
    model = tiny_whisper()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    result = compress(model, "l1_group", keep=0.5)
    assert abs(Structure.of(result).prunable / Structure.of(model).prunable - 0.5) < 0.02
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert result.generate(features(result)).shape[0] == 2


def test_only_the_named_groups_go_and_keep_is_of_their_weights() -> None:
    model = tiny_whisper()
    whole, small = Structure.of(model), Structure.of(compress(model, "l1_group", keep=0.5, groups=("head",)))
    assert (
        sum(g.count for g in small.groups if g.kind == "head")
        == sum(g.count for g in whole.groups if g.kind == "head") / 2
    )
    assert [g.count for g in small.groups if g.kind != "head"] == [g.count for g in whole.groups if g.kind != "head"]


def test_every_layer_keeps_its_share_where_the_scope_is_a_layer() -> None:
    model = tiny_whisper()
    whole, small = Structure.of(model), Structure.of(compress(model, "l1_group", keep=0.5, scope="layer"))
    for stack, layer in {(group.stack, group.layer) for group in whole.groups}:
        for kind in ("head", "ffn_neuron"):
            left, right = (
                sum(g.count for g in one.groups if (g.stack, g.layer, g.kind) == (stack, layer, kind))
                for one in (small, whole)
            )
            assert left == right / 2
    by_hand = model.model.encoder.layers[0]
    norms = by_hand.fc1.weight.abs().sum(dim=1) + by_hand.fc2.weight.abs().sum(dim=0)
    cut = compress(model, "l1_group", keep=0.5, scope="layer", groups=("ffn_neuron",)).model.encoder.layers[0]
    assert torch.equal(cut.fc1.weight, by_hand.fc1.weight[norms.topk(len(norms) // 2).indices.sort().values])


def test_compress_says_why_a_method_will_not_do() -> None:
    model = tiny_whisper()
    with pytest.raises(SpecError, match="'magnitude' only sets weights to zero"):
        compress(model, "magnitude", keep=0.5)
    with pytest.raises(SpecError, match="did you mean 'l1_group'"):
        compress(model, "l1_gruop", keep=0.5)
    with pytest.raises(SpecError, match=r"keep = 1\.5"):
        compress(model, "l1_group", keep=1.5)
    with pytest.raises(SpecError, match="'sgl_adaptive' trains with a penalty"):
        compress(model, "sgl_adaptive", keep=0.5)
    with pytest.raises(BudgetMissedError, match=r"keep = 0\.01 of the weights that may go is missed"):
        compress(model, "l1_group", keep=0.01)  # one head and one neuron a group are more than that


def test_compress_wants_exactly_one_prune() -> None:
    class Twice(Method):
        name = "twice"
        budgets = frozenset({"prunable_stored"})

        def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
            yield from (Prune(rule=Rule()), Fit(steps=total_steps), Prune(rule=Rule()))

    with pytest.raises(SpecError, match="'twice' prunes 2 times"):
        _single_rule(Twice(), "twice", Budget(kind="prunable_stored", keep=0.5))
