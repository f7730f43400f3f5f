"""Plans compose, count, know themselves, and survive the disk; a naive loop over weights is the reference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from benchmark.errors import SpecError, StoreError
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from tests.tiny import random_plan, tiny_whisper

STRUCTURE = Structure.of(tiny_whisper(d=8, layers=(1, 1), heads=2, ffn=6))
GROUP = "model.encoder.layers.0.self_attn"
FFN = "model.decoder.layers.0.ffn"
Q = f"{GROUP}.q_proj.weight"


PLANS = st.integers(0, 10_000).map(lambda seed: random_plan(STRUCTURE, seed))


def naive_counts(plan: Plan, structure: Structure) -> tuple[int, int]:
    """Count kept weights one by one: (nominal, stored)."""
    nominal = stored = 0
    for matrix in structure.matrices:
        for row in range(matrix.shape[0]):
            for column in range(matrix.shape[1]):
                member = (row, column)[matrix.axis] // matrix.width
                alive = matrix.group not in plan.kept or member in plan.kept[matrix.group].tolist()
                stored += alive
                nominal += alive and (matrix.name not in plan.masks or bool(plan.masks[matrix.name][row, column]))
    return nominal, stored


@settings(max_examples=15, deadline=None)
@given(PLANS)
def test_counts_equal_a_naive_loop(plan: Plan) -> None:
    nominal, stored = naive_counts(plan, STRUCTURE)
    assert plan.nonzero(STRUCTURE) == nominal == sum(int(plan.mask(m).sum()) for m in STRUCTURE.matrices)
    assert plan.stored(STRUCTURE) == stored
    assert plan.density(STRUCTURE) == nominal / STRUCTURE.prunable
    assert plan.stored_density(STRUCTURE) == stored / STRUCTURE.prunable


@settings(max_examples=40, deadline=None)
@given(PLANS, PLANS, PLANS)
def test_composition_is_an_intersection(a: Plan, b: Plan, c: Plan) -> None:
    both = a.then(b)
    for matrix in STRUCTURE.matrices:
        assert torch.equal(both.mask(matrix), a.mask(matrix) & b.mask(matrix))
    assert both == b.then(a)
    assert a.then(a) == a == a.then(Plan())
    assert a.then(b).then(c) == a.then(b.then(c))
    assert both.nonzero(STRUCTURE) <= min(a.nonzero(STRUCTURE), b.nonzero(STRUCTURE))


@settings(max_examples=40, deadline=None)
@given(PLANS, PLANS)
def test_canonical_plans_are_equal_exactly_when_they_mean_the_same(a: Plan, b: Plan) -> None:
    same = a.canonical(STRUCTURE)
    for matrix in STRUCTURE.matrices:
        assert torch.equal(same.mask(matrix), a.mask(matrix))
    assert same.stored(STRUCTURE) == a.stored(STRUCTURE)
    assert same.canonical(STRUCTURE) == same
    meaning = [torch.equal(a.mask(m), b.mask(m)) for m in STRUCTURE.matrices]
    if all(meaning) and a.stored(STRUCTURE) == b.stored(STRUCTURE):
        assert same == b.canonical(STRUCTURE)
    if not all(meaning):
        assert same != b.canonical(STRUCTURE)


def test_digest_ignores_order_duplicates_and_absence_in_disguise() -> None:
    mask = torch.ones(8, 8, dtype=torch.bool)
    mask[0, 0] = False
    one = Plan({GROUP: torch.tensor([0]), FFN: torch.tensor([4, 1])}, {Q: mask})
    two = Plan({FFN: torch.tensor([1, 4, 1]), GROUP: torch.tensor([0], dtype=torch.int32)}, {Q: mask.clone()})
    assert one == two and hash(one) == hash(two) and one.digest() == two.digest() and len(one.digest()) == 64
    assert Plan(masks={Q: torch.ones(8, 8, dtype=torch.bool)}) == Plan()
    assert Plan({GROUP: torch.arange(2)}).canonical(STRUCTURE) == Plan()
    assert Plan({GROUP: torch.tensor([0])}) != Plan({GROUP: torch.tensor([1])}) != Plan()
    assert Plan() != "plan"


def test_digest_is_pinned() -> None:
    """Part of cells' identities and records: a change of it must be meant."""
    mask = torch.tensor([[True, False, True]])
    plan = Plan({"g": torch.tensor([0, 2])}, {"m": mask})
    assert plan.digest() == "0c1740630da96a06082a90f3fbeaf207ab48136ec223778d212b9c221b71dd9f"


def test_mask_is_a_fresh_tensor() -> None:
    plan = Plan(masks={Q: torch.zeros(8, 8, dtype=torch.bool)})
    plan.mask(STRUCTURE.matrix(Q)).fill_(True)
    assert int(plan.mask(STRUCTURE.matrix(Q)).sum()) == 0


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan({"nobody": torch.tensor([0])}), "no structural group 'nobody'"),
        (Plan(masks={"nobody": torch.zeros(2, 2, dtype=torch.bool)}), "no prunable matrix 'nobody'"),
        (Plan({GROUP: torch.tensor([0, 2])}), "members 0 to 1, not 2"),
        (Plan({GROUP: torch.tensor([-1, 1])}), "members 0 to 1, not -1"),
        (Plan({GROUP: torch.tensor([], dtype=torch.int64)}), "removes all of .*at least one head"),
        (Plan({FFN: torch.tensor([], dtype=torch.int64)}), "at least one ffn neuron"),
        (Plan(masks={Q: torch.zeros(8, 9, dtype=torch.bool)}), "is 8x8 here and 8x9 in the plan"),
    ],
)
def test_validate_refuses_plans_of_other_models(plan: Plan, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        plan.validate(STRUCTURE)


def test_wrong_tensors_are_refused() -> None:
    with pytest.raises(SpecError, match="list of indices"):
        Plan({GROUP: torch.tensor([0.0])})
    with pytest.raises(SpecError, match="list of indices"):
        Plan({GROUP: torch.tensor([True, False])})  # a mask over members is not what `kept` holds
    with pytest.raises(SpecError, match="bool matrix"):
        Plan(masks={Q: torch.ones(8, 8)})
    with pytest.raises(SpecError, match="8x8 in one and 4x4 in the other"):
        Plan(masks={Q: torch.zeros(8, 8, dtype=torch.bool)}).then(Plan(masks={Q: torch.zeros(4, 4, dtype=torch.bool)}))


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "plan.safetensors"
    for plan in (Plan(), *(random_plan(STRUCTURE, seed) for seed in range(5))):
        plan.save(path)
        loaded = Plan.load(path)
        assert loaded == plan
        assert all(torch.equal(loaded.mask(m), plan.mask(m)) for m in STRUCTURE.matrices)
    assert [file.name for file in tmp_path.iterdir()] == ["plan.safetensors"]


def test_masks_are_packed(tmp_path: Path) -> None:
    path = tmp_path / "plan.safetensors"
    Plan(masks={"m": torch.rand(400, 400) < 0.5}).save(path)
    assert path.stat().st_size < 400 * 400 / 8 + 1000


def test_load_refuses_what_it_cannot_trust(tmp_path: Path) -> None:
    path = tmp_path / "plan.safetensors"
    with pytest.raises(StoreError, match="no such plan"):
        Plan.load(path)
    with pytest.raises(StoreError, match="cannot be written"):
        Plan().save(tmp_path / "nowhere" / "plan.safetensors")
    path.write_bytes(b"not safetensors")
    with pytest.raises(StoreError, match="damaged plan"):
        Plan.load(path)
    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(StoreError, match="not a plan"):
        Plan.load(path)
    plan = random_plan(STRUCTURE, 1)
    plan.save(path)
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(StoreError, match="damaged plan"):
        Plan.load(path)
    plan.save(path)
    with safe_open(path, "pt") as file:
        metadata = {**file.metadata(), "format": "3"}
        tensors = {name: file.get_tensor(name) for name in list(file.keys())}
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(StoreError, match=r"plan of format 3.*update prunebench") as caught:
        Plan.load(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_members_are_those_kept_and_none_in_a_removed_layer() -> None:
    structure = Structure.of(tiny_whisper(layers=(2, 2)))
    layers = structure.stacks[0]
    plan = Plan({"model.encoder.layers.1.ffn": torch.tensor([3, 5]), layers.key: torch.tensor([1])})
    assert plan.members(structure.group("model.encoder.layers.1.ffn")).nonzero().flatten().tolist() == [3, 5]
    assert plan.members(structure.group("model.encoder.layers.1.self_attn")).all()
    assert not plan.members(structure.group("model.encoder.layers.0.self_attn")).any()
    assert plan.members(structure.group("model.decoder.layers.0.ffn")).all()
    assert plan.members(layers).tolist() == [False, True]
