"""A masked model has exact zeros where the plan says so, gets no gradient there, and is untouched elsewhere."""

from __future__ import annotations

import torch
from transformers import WhisperForConditionalGeneration

from benchmark.whisper.masking import Masker
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.view import View
from tests.tiny import features, random_plan, tiny_whisper, token_ids


def _loss(model: WhisperForConditionalGeneration) -> torch.Tensor:
    return model(input_features=features(model), labels=token_ids(model)).loss


def test_apply_zeroes_exactly_what_is_pruned() -> None:
    model, before = tiny_whisper(), tiny_whisper()
    structure = Structure.of(model)
    plan = random_plan(structure, 3)
    Masker(model, structure, plan).apply_()
    biases = {}
    for matrix in structure.matrices:
        mask = plan.mask(matrix)
        weight = model.get_parameter(matrix.name)
        assert not weight[~mask].any()
        assert torch.equal(weight[mask], before.get_parameter(matrix.name)[mask])
        if matrix.bias is not None:
            count = structure.group(matrix.group).count
            members = plan.kept.get(matrix.group, torch.arange(count)).tolist()
            biases[matrix.bias] = torch.tensor([i // matrix.width in members for i in range(matrix.shape[0])])
    touched = {matrix.name for matrix in structure.matrices}
    for name, parameter in model.named_parameters():
        old = before.get_parameter(name)
        if name in biases:
            assert torch.equal(parameter, torch.where(biases[name], old, 0.0))
        elif name not in touched:
            assert torch.equal(parameter, old)


def test_unstructured_pruning_leaves_biases_alone() -> None:
    model, before = tiny_whisper(), tiny_whisper()
    structure = Structure.of(model)
    name = "model.encoder.layers.0.fc1.weight"
    Masker(model, structure, Plan(masks={name: torch.zeros(64, 32, dtype=torch.bool)})).apply_()
    assert not model.get_parameter(name).any()
    assert torch.equal(model.model.encoder.layers[0].fc1.bias, before.model.encoder.layers[0].fc1.bias)


def test_a_pruned_weight_that_is_not_finite_becomes_zero() -> None:
    model = tiny_whisper()
    structure = Structure.of(model)
    key = "model.encoder.layers.0.ffn"
    with torch.no_grad():
        model.model.encoder.layers[0].fc1.weight[0] = float("nan")
    Masker(model, structure, Plan({key: torch.arange(1, 64)})).apply_()
    assert not model.model.encoder.layers[0].fc1.weight[0].any()


def test_pruned_weights_stay_zero_while_the_rest_trains() -> None:
    model = tiny_whisper()
    structure = Structure.of(model)
    plan = random_plan(structure, 5)
    masker = Masker(model, structure, plan)
    masker.apply_()
    masker.attach()
    masker.attach()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for _ in range(3):
        optimiser.zero_grad()
        _loss(model).backward()
        for matrix in structure.matrices:
            gradient = model.get_parameter(matrix.name).grad
            assert gradient is not None and not gradient[~plan.mask(matrix)].any()
        optimiser.step()
        masker.apply_()
    for matrix in structure.matrices:
        weight = model.get_parameter(matrix.name)
        assert not weight[~plan.mask(matrix)].any()
        assert not torch.equal(weight, start[matrix.name])


def test_detach_gives_gradients_back() -> None:
    model = tiny_whisper()
    structure = Structure.of(model)
    name = "model.decoder.layers.0.fc2.weight"
    masker = Masker(model, structure, Plan(masks={name: torch.zeros(32, 64, dtype=torch.bool)}))
    masker.attach()
    _loss(model).backward()
    gradient = model.get_parameter(name).grad
    assert gradient is not None and not gradient.any()
    masker.detach()
    masker.detach()
    model.zero_grad()
    _loss(model).backward()
    gradient = model.get_parameter(name).grad
    assert gradient is not None and gradient.any()


def test_frozen_parameters_are_masked_without_a_hook() -> None:
    model = tiny_whisper()
    model.requires_grad_(False)
    structure = Structure.of(model)
    masker = Masker(model, structure, random_plan(structure, 3))
    masker.attach()
    masker.apply_()


def test_view_shows_live_weights_in_fp32_and_seeds_by_key() -> None:
    model = tiny_whisper().to(torch.bfloat16)
    structure = Structure.of(model)
    matrix = structure.matrices[0]
    plan = Plan(masks={matrix.name: torch.rand(matrix.shape) < 0.5})
    view = View(model, structure, plan, seed=7)
    assert view.weight(matrix).dtype == torch.float32 and not view.weight(matrix).requires_grad
    assert view.parameter(matrix) is model.get_parameter(matrix.name)
    assert torch.equal(view.mask(matrix), plan.mask(matrix))
    with torch.no_grad():
        model.get_parameter(matrix.name).zero_()
    assert not view.weight(matrix).any()
    first = torch.rand(4, generator=view.generator("rule", matrix.name))
    assert torch.equal(first, torch.rand(4, generator=view.generator("rule", matrix.name)))
    others = [View(model, structure, plan, seed=8).generator("rule", matrix.name), view.generator("rule", "b")]
    assert all(not torch.equal(first, torch.rand(4, generator=other)) for other in others)
