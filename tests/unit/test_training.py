"""A Fit against AdamW written out, and the nodes of a tree against their programs run straight through."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import accelerate.optimizer
import numpy as np
import pytest
import torch

from benchmark.api import Budget, Fit, Model, Penalty, Prune, Rewind, Rule
from benchmark.harness.batches import Tokenised, stream_order
from benchmark.harness.bench import Bench, device
from benchmark.harness.between import carry_out
from benchmark.harness.execute import train_node
from benchmark.harness.state import Moments, Workshop
from benchmark.harness.training import Given, fit
from benchmark.harness.tree import CellPath, Node, Tree, grow
from benchmark.pruning.applying import prune_
from benchmark.pruning.weights import MagnitudeWeights
from benchmark.specs import Leaderboard, Training
from benchmark.whisper.masking import Masker
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.view import View
from tests.tiny import random_plan, tiny_whisper

UTTERANCES, PAD, START = 5, 0, 3  # token ids of the tiny model
RECIPE = Training(batch=2, learning_rate=1e-3, warmup=0.4, weight_decay=0.1, clip=0.5)


pytestmark = pytest.mark.usefixtures("one_thread")


def tiny() -> Any:
    model: Any = tiny_whisper(d=16, layers=(1, 1), heads=2, ffn=16, vocab=30, frames=16, targets=12)
    return model.to(device())


def material() -> Tokenised:
    """Noise, and labels of different lengths: batches are padded."""
    draw = np.random.default_rng(0)
    labels = [draw.integers(4, 30, size=length).tolist() for length in (3, 7, 5, 4, 6)]
    return Tokenised(draw.normal(size=(UTTERANCES, 8, 16)).astype(np.float16), labels)


class Pull(Penalty):
    """Pulls every prunable weight to 1, the pruned ones too: they must not follow."""

    strength: float

    def loss(self, view: View) -> torch.Tensor:
        """Half the squared distance."""
        distances = [(view.parameter(matrix) - 1).square().sum() for matrix in view.structure.matrices]
        return 0.5 * self.strength * torch.stack(distances).sum()


# --- AdamW written out ------------------------------------------------------------------------------------------------


def cross_entropy(model: Any, rows: list[int], data: Tokenised) -> torch.Tensor:
    """Return the mean over all tokens of the batch; each is predicted from the features and the tokens before it."""
    at, longest = model.device, max(len(data.labels[row]) for row in rows)
    tokens = torch.tensor([[*data.labels[row], *[PAD] * (longest - len(data.labels[row]))] for row in rows], device=at)
    before = torch.cat([torch.full((len(rows), 1), START, device=at), tokens[:, :-1]], dim=1)
    features = torch.from_numpy(data.features[rows].astype(np.float32)).to(at)
    chances = model(input_features=features, decoder_input_ids=before).logits.log_softmax(dim=-1)
    said = [chances[i, j, data.labels[row][j]] for i, row in enumerate(rows) for j in range(len(data.labels[row]))]
    return -torch.stack(said).mean()


def rate(recipe: Training, step: int, steps: int) -> float:
    """Return the learning rate of a step: up in a line to the peak at step ``warm``, then down; no step is lost."""
    warm = round(recipe.warmup * steps)
    if step < warm:
        return recipe.learning_rate * (step + 1) / (warm + 1)
    left = (steps - step) / (steps - warm)
    return recipe.learning_rate * (left if recipe.decay == "linear" else 0.5 * (1 + math.cos(math.pi * (1 - left))))


def train_by_hand(
    model: Any, order: np.ndarray, recipe: Training, plan: Plan, pull: float, moments: Moments | None
) -> Moments:
    """Train in place as a Fit should: clipped AdamW (0.9, 0.98, 1e-6); what is pruned is zero and has no gradient."""
    data, structure, steps = material(), Structure.of(model), len(order) // recipe.batch
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    kept = {name: torch.ones_like(parameter) for name, parameter in named.items()}
    for matrix in structure.matrices:
        kept[matrix.name] = plan.mask(matrix).float().to(device())
        if matrix.bias and matrix.group in plan.kept:  # the bias of a removed head or neuron goes with it
            kept[matrix.bias] = Plan(plan.kept).mask(matrix)[:, 0].float().to(device())
    pulled = {matrix.name for matrix in structure.matrices}
    zeros = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
    first, second = ({n: moments[n][key] for n in named} if moments else {**zeros} for key in ("exp_avg", "exp_avg_sq"))
    count = int(next(iter(moments.values()))["step"]) if moments else 0
    model.train()
    with torch.no_grad():
        for name, parameter in named.items():
            parameter *= kept[name]
    for step in range(steps):
        loss = cross_entropy(model, order[step * recipe.batch : (step + 1) * recipe.batch].tolist(), data)
        gradients = dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))
        for matrix in structure.matrices:
            gradients[matrix.name] = gradients[matrix.name] + pull * (named[matrix.name].detach() - 1)
        gradients = {name: gradient * kept[name] for name, gradient in gradients.items()}
        norm = math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients.values()))
        assert norm > recipe.clip  # else nothing would be clipped here
        speed, count = rate(recipe, step, steps), count + 1
        with torch.no_grad():
            for name, parameter in named.items():
                gradient = gradients[name] * (recipe.clip / norm)
                first[name] = 0.9 * first[name] + 0.1 * gradient
                second[name] = 0.98 * second[name] + 0.02 * gradient**2
                mean, spread = first[name] / (1 - 0.9**count), (second[name] / (1 - 0.98**count)) ** 0.5
                if not (pull and name in pulled):  # what a penalty shrinks is not shrunk twice
                    parameter *= 1 - speed * recipe.weight_decay
                parameter -= speed * mean / (spread + 1e-6)
                parameter *= kept[name]
    return {n: {"step": torch.tensor(float(count)), "exp_avg": first[n], "exp_avg_sq": second[n]} for n in named}


def train(
    model: Any, order: np.ndarray, recipe: Training, plan: Plan, penalty: Penalty | None, moments: Moments | None
) -> Moments:
    """Train in place by the harness and return the moments."""
    structure = Structure.of(model)
    view, masker = View(model, structure, plan, 0), Masker(model, structure, plan)
    held: dict[str, Any] = {"penalty": penalty, "view": view, "masker": masker, "optimizer": moments}
    return fit(model, material(), order, recipe, Given(steps=len(order) // recipe.batch, seed=0, **held)).optimizer


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("pull", [0.0, 0.02])
@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_two_fits_end_where_adamw_written_out_ends(decay: Any, pull: float, pruned: bool) -> None:
    recipe = RECIPE.model_copy(update={"decay": decay})
    ours, theirs = tiny(), tiny()
    plan = random_plan(Structure.of(ours), seed=1) if pruned else Plan()
    penalty = Pull(strength=pull) if pull else None
    moments: Moments | None = None
    expected: Moments | None = None
    for start, steps, now in ((0, 5, Plan()), (5, 4, plan)):  # dense first: the second begins with its momentum
        order = stream_order(UTTERANCES, recipe.batch, 7, start, steps)
        moments = train(ours, order, recipe, now, penalty, moments)
        expected = train_by_hand(theirs, order, recipe, now, pull, expected)
        for (name, weight), by_hand in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(weight, by_hand, rtol=0, atol=2e-6, msg=name)
        assert moments.keys() == expected.keys()
        for name, parts in expected.items():
            for part, value in parts.items():
                torch.testing.assert_close(moments[name][part], value.cpu(), rtol=1e-3, atol=1e-6, msg=name)


class Watch(Penalty):
    """Adds nothing, and notes at each step how many pruned weights are not zero."""

    seen: ClassVar[list[int]] = []

    def loss(self, view: View) -> torch.Tensor:
        """Return zero."""
        pruned = [view.parameter(matrix)[~view.mask(matrix)] for matrix in view.structure.matrices]
        self.seen.append(sum(int(weights.count_nonzero()) for weights in pruned))
        return 0.0 * view.parameter(view.structure.matrices[0]).sum()


def test_pruned_weights_are_exactly_zero_at_every_step_and_after_it() -> None:
    model = tiny()
    structure = Structure.of(model)
    moments = train(model, stream_order(UTTERANCES, 2, 7, 0, 4), RECIPE, Plan(), None, None)
    plan = random_plan(structure, seed=1)
    Watch.seen.clear()
    train(model, stream_order(UTTERANCES, 2, 7, 4, 6), RECIPE, plan, Watch(), moments)
    assert Watch.seen == [0] * 6
    for matrix in structure.matrices:
        assert not model.get_parameter(matrix.name)[~plan.mask(matrix)].any()
        if matrix.bias and matrix.group in plan.kept:
            removed = ~Plan(plan.kept).mask(matrix)[:, 0]
            assert not model.get_parameter(matrix.bias)[removed].any()


class OnDevice(torch.Tensor):
    """A tensor that stands in for one on a GPU: reading its value is counted, as it would wait for the device."""

    reads: ClassVar[int] = 0

    def item(self) -> Any:
        OnDevice.reads += 1
        return super().item()

    def cpu(self, *_: Any, **__: Any) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)


def test_moments_that_are_taken_over_keep_their_counters_off_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny()
    moments = train(model, stream_order(UTTERANCES, 2, 7, 0, 3), RECIPE, Plan(), None, None)
    move, moved = accelerate.optimizer.move_to_device, list[Any]()

    def to_device(state: Any, to: Any) -> Any:
        found = move(state, to)
        if isinstance(state, dict) and "param_groups" in state:  # it calls itself for what is inside
            moved.extend(found["state"])
            for one in found["state"].values():
                one["step"] = one["step"].as_subclass(OnDevice)
        return found

    monkeypatch.setattr(accelerate.optimizer, "move_to_device", to_device)
    monkeypatch.setattr(OnDevice, "reads", 0)
    after = train(model, stream_order(UTTERANCES, 2, 7, 3, 2), RECIPE, Plan(), None, moments)
    assert len(moved) == len(moments) > 10  # accelerate has moved them all
    assert OnDevice.reads == 0
    assert {float(one["step"]) for one in after.values()} == {5.0}


# --- nodes ------------------------------------------------------------------------------------------------------------

CHAIN = {"split": 0.25, "rate": 0.8, "round_share": 0.25}
CELLS: dict[str, tuple[dict[str, Any], str]] = {
    "dense": ({"split": 0.25}, "none"),
    "imp": (CHAIN, "prunable_nominal"),
    "imp with rewinding": ({**CHAIN, "after_prune": "rewind"}, "prunable_nominal"),
    "sgl_adaptive": ({"split": 0.25, "l1_enc": 0.01}, "prunable_nominal"),
    "l1_group": ({"split": 0.25}, "prunable_stored"),
}
SPEC = Leaderboard.model_validate(
    {
        "grid": [
            {"methods": [{"name": cell.split()[0], "options": options}], "budget": kind, "keep": [0.6]}
            for cell, (options, kind) in CELLS.items()
        ],
        "training": {**RECIPE.model_dump(), "steps": 10},
    }
)


class Tiny(Model):
    """Stands in for the leaderboard's model: nothing here decodes, so it has no tokenizer."""

    name = "tiny"
    revision = "0"

    def load(self) -> tuple[Any, Any]:
        model = tiny()
        model.model.encoder.embed_positions.requires_grad_(True)  # as transformers 5 leaves it when it opens a folder
        return model, SimpleNamespace(tokenizer=None)


@pytest.fixture(scope="module")
def bench() -> Bench:
    bench = Bench(SPEC)
    bench.source, bench.material = Tiny(), material()
    return bench


@pytest.fixture(scope="module")
def tree() -> Tree:
    return grow(SPEC)


@pytest.fixture(scope="module")
def shop(tree: Tree, bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Every node of the tree, trained by the harness."""
    shop = Workshop(tmp_path_factory.mktemp("run"))
    for node in tree.nodes.values():
        train_node(node, tree, bench, shop, seed=0, progress=None)
    return shop


def straight_through(path: CellPath) -> tuple[dict[str, torch.Tensor], Plan]:
    """Run a cell's program in one go and in memory, without tree and files."""
    model, plan, done = tiny(), Plan(), 0
    moments: Moments | None = None
    past: dict[int, tuple[dict[str, torch.Tensor], Moments | None]] = {0: (copy.deepcopy(model.state_dict()), None)}
    for step in path.program:
        if isinstance(step, Prune):
            plan = prune_(step.rule, View(model, Structure.of(model), plan, 0), model).plan
        elif isinstance(step, Rewind):
            weights, moments = past[step.to_step]
            model.load_state_dict(weights)
        else:
            order = stream_order(UTTERANCES, RECIPE.batch, 0, done, step.steps)
            moments = train(model, order, RECIPE, plan, step.penalty, moments)
            done += step.steps
            past[done] = copy.deepcopy(model.state_dict()), moments
    return model.state_dict(), plan


@pytest.mark.parametrize("cell", CELLS)
def test_a_path_through_the_tree_ends_where_its_program_run_straight_through_ends(
    cell: str, tree: Tree, shop: Workshop
) -> None:
    path = tree.cells[list(CELLS).index(cell)]
    assert path.last is not None
    ours, (weights, plan) = shop.load(path.last), straight_through(path)
    assert ours.plan == plan
    assert ours.weights
    for name, weight in ours.weights.items():
        assert torch.equal(weight, weights[name].cpu()), name


@pytest.mark.parametrize("to_step", [0, 3])
def test_rewinding_restores_weights_and_moments_to_the_bit_and_keeps_the_plan(
    to_step: int, bench: Bench, tmp_path: Path
) -> None:
    """Where the Fit after a Rewind ends is where a Fit from the saved weights, moments and the new plan ends."""
    shop, pruning = Workshop(tmp_path), Prune(rule=MagnitudeWeights(budget=Budget(kind="prunable_nominal", keep=0.5)))
    past = {0: None, 3: "first"}
    nodes = [
        Node("first", None, (), Fit(steps=3), 0, {}),
        Node("second", "first", (), Fit(steps=4), 3, {}),
        Node("third", "second", (pruning, Rewind(to_step=to_step)), Fit(steps=5), 7, {to_step: past[to_step]}),
        Node("fourth", "third", (), Fit(steps=1), 12, {}),
    ]
    chain = Tree(SPEC, {node.id: node for node in nodes}, [])
    for node in nodes[:3]:
        train_node(node, chain, bench, shop, seed=0, progress=None)
    model = tiny()
    saved, second, third = shop.load(past[to_step]), shop.load("second"), shop.load("third")
    pruned = bench.model(second)
    plan = prune_(pruning.rule, View(pruned, bench.structure, second.plan, 0), pruned).plan
    assert third.plan == plan
    assert (saved.optimizer is None) == (to_step == 0)
    model.load_state_dict(saved.weights or {}, strict=False)
    moments = train(model, stream_order(UTTERANCES, RECIPE.batch, 0, 7, 5), RECIPE, plan, None, saved.optimizer)
    assert third.weights and third.optimizer
    for name, weight in third.weights.items():
        assert torch.equal(weight, model.state_dict()[name].cpu()), name
    for name, parts in third.optimizer.items():
        for part, value in parts.items():
            assert torch.equal(value, moments[name][part]), (name, part)


class KillRows(Rule):
    """Masks whole rows of fc1 and of v in the first encoder layer: what they put out is a constant from then on."""

    def decide(self, view: View) -> Plan:
        masks = {}
        for matrix in view.structure.matrices[:6]:
            if matrix.kind in ("v", "fc1"):
                masks[matrix.name] = torch.ones(matrix.shape, dtype=torch.bool)
                masks[matrix.name][: matrix.shape[0] // 4] = False
        return Plan(masks=masks)


def test_a_rewind_takes_the_constants_of_dead_parts_from_the_weights_it_restores(bench: Bench, tmp_path: Path) -> None:
    shop, nodes = (
        Workshop(tmp_path),
        [Node("a", None, (), Fit(steps=3), 0, {}), Node("b", "a", (), Fit(steps=4), 3, {})],
    )
    chain = Tree(SPEC, {node.id: node for node in nodes}, [])
    for node in nodes:
        train_node(node, chain, bench, shop, seed=0, progress=None)
    steps = (Prune(rule=KillRows()), Rewind(to_step=3))
    state = carry_out(steps, shop.load("b"), {3: "a"}, bench, shop, 0, training=False)
    assert len(state.plan.kept[bench.structure.groups[1].key]) == bench.structure.groups[1].count * 3 // 4
    ours, theirs = bench.model(state), bench.model(shop.load("a"))
    Masker(ours, bench.structure, state.plan).apply_()
    with torch.no_grad():
        for name, mask in KillRows().decide(View(theirs, bench.structure, Plan(), 0)).masks.items():
            theirs.get_parameter(name).mul_(mask.to(device()))
    inputs = {"input_features": torch.randn(2, 8, 16), "decoder_input_ids": torch.randint(4, 30, (2, 5))}
    inputs = {name: value.to(device()) for name, value in inputs.items()}
    with torch.inference_mode():
        found, expected = (model.eval()(**inputs).logits for model in (ours, theirs))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_the_encoders_positions_are_not_trained_whatever_opened_the_model(bench: Bench, shop: Workshop) -> None:
    before = tiny().model.encoder.embed_positions.weight
    assert bench.source.load()[0].model.encoder.embed_positions.weight.requires_grad
    state = shop.load(next(node for node in grow(SPEC).nodes))
    assert state.weights
    assert torch.equal(state.weights["model.encoder.embed_positions.weight"], before.cpu())
    assert not bench.model(state).model.encoder.embed_positions.weight.requires_grad
