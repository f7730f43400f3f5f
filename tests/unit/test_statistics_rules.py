"""Calibrate steps against naive loops, and the rules that need them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration

from benchmark.api import Budget, Calibrate
from benchmark.errors import SpecError
from benchmark.harness.batches import Tokenised
from benchmark.harness.bench import Bench
from benchmark.harness.calibration import calibrate
from benchmark.harness.state import State
from benchmark.pruning.activations import TaylorGroups, WandaWeights
from benchmark.pruning.coarse import KeepLayers, KeepTokens, spaced
from benchmark.pruning.low_rank import LowRank
from benchmark.specs import Training
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import TOKENS, Structure
from benchmark.whisper.view import View
from tests.tiny import drop_out, held_by_autograd, tiny_whisper

SMALL: dict[str, Any] = {"d": 16, "layers": (2, 2), "ffn": 24, "vocab": 40, "frames": 20, "targets": 16}
NOMINAL = Budget(kind="prunable_nominal", keep=0.5)
STORED = Budget(kind="prunable_stored", keep=0.6)


def a_bench(model: WhisperForConditionalGeneration, utterances: int = 20, recipe: Training | None = None) -> Bench:
    """Return what ``calibrate`` sees of a bench: the model, a pool of random speech, and the recipe."""
    import copy

    draw = np.random.default_rng(0)
    labels = [draw.integers(4, 40, draw.integers(2, 9)).tolist() for _ in range(utterances)]
    material = Tokenised(draw.standard_normal((utterances, 8, 20)).astype(np.float16), labels)
    bench = SimpleNamespace(
        structure=Structure.of(model),
        material=material,
        model=lambda state: copy.deepcopy(model),
        processor=None,
        spec=SimpleNamespace(training=recipe or Training()),
    )
    return cast(Bench, bench)


def gathered(
    model: WhisperForConditionalGeneration, *kinds: str, utterances: int = 20, **recipe: Any
) -> tuple[Any, int]:
    step = Calibrate(utterances=utterances, statistics=cast(Any, kinds))
    return calibrate(step, State(), a_bench(model, recipe=Training(**recipe)), seed=3)


def view_with(model: WhisperForConditionalGeneration, *kinds: str, plan: Plan | None = None) -> View:
    found, _ = gathered(model, *kinds)
    return View(model, Structure.of(model), plan or Plan(), 0, found)


def naive_inputs(model: WhisperForConditionalGeneration, module: str, decoder: bool) -> torch.Tensor:
    """Every input row of one Linear layer, utterance by utterance, without any padding: shape (positions, in)."""
    rows: list[torch.Tensor] = []
    hook = model.get_submodule(module).register_forward_pre_hook(lambda _, x: rows.append(x[0][0].double()))
    material = a_bench(model).material
    for index, label in enumerate(material.labels):
        features = torch.from_numpy(material.features[index : index + 1].astype(np.float32))
        with torch.no_grad():
            model(input_features=features, labels=torch.tensor([label]))
    hook.remove()
    return torch.cat(rows)


@pytest.mark.parametrize(
    "name", ["encoder.layers.0.fc1", "decoder.layers.1.fc2", "decoder.layers.0.encoder_attn.k_proj"]
)
def test_inputs_are_those_of_a_naive_pass_without_padding(name: str) -> None:
    model = tiny_whisper(**SMALL)
    found, passes = gathered(model, "input_square", "input_covariance")
    rows = naive_inputs(model, f"model.{name}", name.startswith("decoder"))
    key = f"model.{name}.weight"
    assert torch.allclose(found["input_square"][key], rows.square().mean(0), rtol=1e-5)
    assert torch.allclose(found["input_covariance"][f"{key}:mean"], rows.mean(0), rtol=1e-4, atol=1e-6)
    assert torch.allclose(found["input_covariance"][key], rows.T @ rows / len(rows), rtol=1e-4, atol=1e-6)
    assert passes == 20


def test_gradients_are_the_mean_over_batches_and_cost_a_second_pass() -> None:
    model = tiny_whisper(**SMALL)
    found, passes = gathered(model, "gradient", "input_square", utterances=5)
    assert passes == 10 and set(found) == {"gradient", "input_square"}
    assert all(not p.requires_grad or p.grad is None for p in model.parameters())
    weight = model.model.encoder.layers[0].fc1.weight
    found, _ = gathered(model, "gradient", utterances=20)
    total = torch.zeros_like(weight)
    material = a_bench(model).material
    from benchmark.harness.batches import collate
    from benchmark.harness.seeds import derive

    order = np.random.default_rng(derive(3, "calibrate")).permutation(20)
    for start in (0, 16):
        rows = [
            {"input_features": material.features[i], "labels": material.labels[i]} for i in order[start : start + 16]
        ]
        model.zero_grad()
        model(**collate(rows)).loss.backward()
        total += weight.grad * len(rows) / 20
    assert torch.allclose(found["gradient"]["model.encoder.layers.0.fc1.weight"], total, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("batch", "accumulate", "most"), [(16, 1, 16), (64, 2, 16), (16, 4, 4), (6, 2, 3)])
def test_no_more_is_passed_at_once_than_in_training_and_nothing_changes(
    batch: int, accumulate: int, most: int, checkpointing: bool
) -> None:
    """Transcripts are unequally long, and a mean of the parts' means would be off by 1e-2."""
    model = tiny_whisper(**SMALL)
    drop_out(model, 0.2)  # calibration has none, checkpointing or not
    kinds = ("input_square", "input_covariance", "gradient")
    found, passes = gathered(model, *kinds)
    sizes: list[int] = []
    model.register_forward_pre_hook(lambda _, __, given: sizes.append(len(given["labels"])), with_kwargs=True)
    again, again_passes = gathered(model, *kinds, batch=batch, accumulate=accumulate, checkpointing=checkpointing)
    assert max(sizes) == most and sum(sizes) == passes == again_passes == 40
    for kind, values in found.items():
        assert values.keys() == again[kind].keys()
        for name, value in values.items():
            if most == 16:
                assert torch.equal(again[kind][name], value), (kind, name)
            torch.testing.assert_close(again[kind][name], value, rtol=1e-5, atol=1e-5, msg=name)


def test_with_checkpointing_calibration_keeps_fewer_activations() -> None:
    model = tiny_whisper(**SMALL)

    def kept(**recipe: Any) -> int:
        return held_by_autograd(lambda: gathered(model, "gradient", **recipe))

    assert kept(checkpointing=True) < 0.6 * kept()


def test_matrices_that_read_the_same_share_its_sums() -> None:
    """Outer products of large models are gigabytes: q, k and v of a block, and what reads the encoder's output."""
    covariance = gathered(tiny_whisper(**SMALL), "input_covariance")[0]["input_covariance"]
    places = {name: value.data_ptr() for name, value in covariance.items()}
    one, other = ({key: places[f"model.decoder.layers.{layer}.{key}_proj.weight"] for key in KEYS} for layer in (0, 1))
    assert one["self_attn.q"] == one["self_attn.k"] == one["self_attn.v"] != other["self_attn.q"]
    assert one["encoder_attn.k"] == one["encoder_attn.v"] == other["encoder_attn.k"] == other["encoder_attn.v"]
    assert len({one["encoder_attn.q"], one["encoder_attn.k"], one["self_attn.q"], one["self_attn.out"]}) == 4


KEYS = tuple(f"{block}.{kind}" for block in ("self_attn", "encoder_attn") for kind in ("q", "k", "v", "out"))


def test_wanda_keeps_the_largest_products_of_each_output() -> None:
    model = tiny_whisper(**SMALL)
    view = view_with(model, "input_square")
    loose = Budget(kind="prunable_nominal", keep=0.5, tolerance=0.9)  # inputs that see nothing die: not the point here
    plan = WandaWeights(budget=loose).decide(view)
    assert plan.density(view.structure) == 0.5
    for matrix in view.structure.matrices:
        norm = view.statistic("input_square", matrix.name).sqrt()
        for row, bits in zip(view.weight(matrix), plan.mask(matrix), strict=True):
            product = row.abs().double() * norm
            kept = product[bits].min()
            assert bits.sum() == matrix.shape[1] // 2 and (product[~bits] <= kept * (1 + 1e-6)).all()


def test_taylor_scores_are_first_order_changes_of_the_loss() -> None:
    model = tiny_whisper(**SMALL)
    view = view_with(model, "gradient")
    group = view.structure.group("model.encoder.layers.1.ffn")
    for estimate in ("element", "group"):
        scores = TaylorGroups(budget=STORED, estimate=cast(Any, estimate)).scores(view, group)
        for neuron in (0, 7, 23):
            parts = []
            for matrix in view.structure.matrices_of(group.key):
                change = view.weight(matrix) * view.statistic("gradient", matrix.name)
                parts.append((change[neuron] if matrix.axis == 0 else change[:, neuron]).double())
            every = torch.cat(parts)
            expected = every.abs().sum() if estimate == "element" else every.sum().abs()
            assert float(scores[neuron]) == pytest.approx(float(expected), rel=1e-5)


def test_without_a_calibrate_step_the_error_says_what_to_add() -> None:
    model = tiny_whisper(**SMALL)
    view = View(model, Structure.of(model), Plan(), 0)
    for rule in (WandaWeights(budget=NOMINAL), TaylorGroups(budget=STORED), LowRank(), KeepTokens()):
        with pytest.raises(SpecError, match="Calibrate"):
            rule.decide(view)


def low_rank_error(model: WhisperForConditionalGeneration, module: str, weight: torch.Tensor, bias: Any) -> float:
    rows = naive_inputs(model, module, decoder=False)
    layer = model.get_submodule(module)
    wanted = rows @ layer.weight.double().T + (0 if layer.bias is None else layer.bias.double())
    return float((rows @ weight.double().T + bias - wanted).square().sum().detach())


def test_low_rank_is_the_best_approximation_of_the_outputs() -> None:
    """No other pair of factors of that rank fits the outputs better: checked against the SVD of the outputs."""
    model = tiny_whisper(**SMALL)
    view = view_with(model, "input_covariance")
    rule = LowRank(energy=0.9)
    plan = rule.decide(view)
    written = rule.rewrite(view, plan)
    for module in ("model.encoder.layers.0.fc1", "model.encoder.layers.1.fc2"):
        rank = plan.ranks[f"{module}.weight"]
        found = low_rank_error(model, module, written[f"{module}.weight"], written[f"{module}.bias"].double())
        rows, layer = naive_inputs(model, module, decoder=False), model.get_submodule(module)
        outputs = rows @ layer.weight.double().T
        values = torch.linalg.svdvals(outputs - outputs.mean(0))
        best = float(values[rank:].square().sum())
        assert found == pytest.approx(best, rel=1e-2)
        share = values.square().cumsum(0) / values.square().sum()
        assert rank == int((share < 0.9).sum()) + 1
        assert torch.linalg.matrix_rank(written[f"{module}.weight"].double(), rtol=1e-5) == rank


@pytest.mark.parametrize("keep", [0.8, 0.5])
def test_low_rank_meets_a_stored_budget_with_whole_matrices_where_factors_are_no_smaller(keep: float) -> None:
    model = tiny_whisper(d=32, ffn=64)
    view = View(model, Structure.of(model), Plan(), 0, gathered_for(model))
    rule = LowRank(budget=Budget(kind="prunable_stored", keep=keep))
    plan = rule.decide(view)
    allowed = max(0.005, rule.smallest(view.structure) / view.structure.prunable)
    assert abs(plan.stored_density(view.structure) - keep) <= allowed
    for name, rank in plan.ranks.items():
        rows, columns = view.structure.matrix(name).shape
        assert rank * (rows + columns) < rows * columns


def gathered_for(model: WhisperForConditionalGeneration) -> Any:
    bench = a_bench(model)
    bench.material.features = np.random.default_rng(1).standard_normal((20, 8, 40)).astype(np.float16)
    return calibrate(Calibrate(utterances=20, statistics=("input_covariance",)), State(), bench, seed=0)[0]


def test_low_rank_refuses_matrices_with_single_pruned_weights() -> None:
    model = tiny_whisper(**SMALL)
    plan = Plan(masks={"model.encoder.layers.0.fc1.weight": torch.rand(24, 16) < 0.5})
    with pytest.raises(SpecError, match=r"encoder\.layers\.0\.fc1.*factors would fill up"):
        LowRank().decide(view_with(model, "input_covariance", plan=plan))


def test_layers_are_evenly_spaced_and_as_many_as_asked() -> None:
    assert [spaced(12, n).tolist() for n in (1, 2, 4)] == [[0], [0, 11], [0, 4, 7, 11]]
    structure = Structure.of(tiny_whisper(**{**SMALL, "layers": (4, 2)}))
    view = View(tiny_whisper(**{**SMALL, "layers": (4, 2)}), structure, Plan(), 0)
    plan = KeepLayers(encoder=2).decide(view)
    assert plan.kept["model.encoder.layers"].tolist() == [0, 3] and len(plan.canonical(structure).kept) == 1
    for keep in (0.8, 0.6, 0.4):
        reached = KeepLayers(budget=Budget(kind="prunable_stored", keep=keep)).decide(view).stored_density(structure)
        options = [
            (e * structure.stacks[0].weights + d * structure.stacks[1].weights) / structure.prunable
            for e in range(1, 5)
            for d in range(1, 3)
        ]
        assert reached == pytest.approx(min(options, key=lambda share: abs(share - keep)))
    with pytest.raises(SpecError, match="decoder = 3: this model's decoder has 2 layers"):
        KeepLayers(decoder=3).decide(view)


def test_tokens_kept_are_closed_under_merges() -> None:
    model = tiny_whisper(**SMALL)
    bits = {name: torch.zeros(40, dtype=torch.bool) for name in ("required", "letters", "timestamps")}
    bits["required"][:4], bits["letters"][4], bits["timestamps"][3] = True, True, True
    table = {"counts": torch.zeros(40, dtype=torch.long), "merges": torch.tensor([[20, 10, 11], [10, 5, 6]]), **bits}
    table["counts"][20] = 2
    view = View(model, Structure.of(model), Plan(), 0, {"tokens": table})
    assert KeepTokens().decide(view).kept[TOKENS].tolist() == [0, 1, 2, 3, 4, 5, 6, 10, 11, 20]
    assert KeepTokens(min_count=3).decide(view).kept[TOKENS].tolist() == [0, 1, 2, 3, 4]
    assert KeepTokens(letters=False, timestamps=False, min_count=3).decide(view).kept[TOKENS].tolist() == [0, 1, 2]
