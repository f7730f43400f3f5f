"""Recipes of a Fit: what changes nothing (accumulation, checkpointing), and what does, as a function of the seed."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from benchmark.api import Penalty
from benchmark.errors import SpecError
from benchmark.harness import training
from benchmark.harness.augment import covered, hiding
from benchmark.harness.batches import MEGABATCH, BatchStream, collate, stream_order
from benchmark.harness.training import FitTrainer, Given, Trained, fit
from benchmark.pruning.penalties import SparseGroupLasso
from benchmark.specs import SpecAugment, Training
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.view import View
from tests.tiny import drop_out, held_by_autograd, material, tiny_whisper

pytestmark = pytest.mark.usefixtures("one_thread", "on_cpu")
LENGTHS = (2, 9, 5, 3, 11, 4, 2, 7, 6, 10, 3)
STEPS, BATCH = 5, 8
SGL = SparseGroupLasso(l1_enc=0.01, l1_dec=0.02, group_enc=0.03, group_dec=0.04)
PROXIMAL = SGL.model_copy(update={"solver": "proximal"})


def model_of(dropout: float = 0.0) -> Any:
    model: Any = tiny_whisper(d=16, layers=(2, 2), heads=2, ffn=16, vocab=30, frames=16, targets=12)
    drop_out(model, dropout)
    return model


def trained(
    penalty: Penalty | None = None, model: Any = None, teach: bool = False, recipe: dict[str, Any] | None = None
) -> tuple[Trained, Any]:
    model = model_of() if model is None else model
    settings = Training.parse({"batch": BATCH, "learning_rate": 5e-3, **(recipe or {})}, "training")
    order = stream_order(len(LENGTHS), BATCH, 0, 0, STEPS)
    view = View(model, Structure.of(model), Plan(), 0)
    teacher = tiny_whisper(d=16, layers=(2, 2), heads=2, ffn=16, vocab=30, frames=16, targets=12, seed=3)
    held: dict[str, Any] = {"penalty": penalty, "view": view, "teacher": teacher if teach else None}
    return fit(model, material(LENGTHS), order, settings, Given(steps=STEPS, seed=0, **held)), model


def distance(one: Any, other: Any) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


# --- what changes nothing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize(
    ("penalty", "teach"), [(None, False), (SGL, True), (PROXIMAL, False)], ids=["plain", "penalty and teacher", "prox"]
)
def test_parts_of_a_batch_have_its_losses_and_its_weights(penalty: Penalty | None, teach: bool, parts: int) -> None:
    """Transcripts are unequally long, and a mean of the parts' means is off by far more: 2e-5 after steps of 5e-3."""
    whole, at_once = trained(penalty, teach=teach)
    cut, in_parts = trained(penalty, teach=teach, recipe={"accumulate": parts})
    assert cut.losses == pytest.approx(whole.losses, rel=1e-5)
    assert (cut.steps, cut.utterances, cut.tokens) == (whole.steps, whole.utterances, whole.tokens)
    assert distance(at_once, in_parts) < 2e-5
    assert distance(at_once, model_of()) > 1e-2


def test_gradients_of_parts_are_those_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adam hides a factor: so the gradients themselves, before they are clipped, at the first step."""
    seen: list[dict[str, torch.Tensor]] = []
    clip = FitTrainer._clip_grad_norm

    def look(self: FitTrainer, model: Any) -> Any:
        seen.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
        return clip(self, model)

    monkeypatch.setattr(FitTrainer, "_clip_grad_norm", look)
    trained(SGL)
    at_once = seen[0]
    seen.clear()
    trained(SGL, recipe={"accumulate": 4})
    assert len(seen) == STEPS and seen[0].keys() == at_once.keys()
    for name, gradient in at_once.items():
        torch.testing.assert_close(seen[0][name], gradient, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("name", ["dropout", "activation_dropout", "layerdrop"])
def test_a_model_that_draws_in_every_part_is_refused_more_than_one(name: str) -> None:
    """Its results would depend on the parts, which are in no id."""
    model = model_of()
    place = model.model.decoder if name == "layerdrop" else model.model.decoder.layers[1]
    setattr(place, name, 0.1)
    with pytest.raises(SpecError, match=rf"^a batch in 2 parts .*decoder[^ ]*\.{name} = 0\.1.* take accumulate 1"):
        trained(model=model, recipe={"accumulate": 2})
    assert distance(model, model_of()) == 0
    trained(model=model, recipe={"checkpointing": True})


def test_activations_computed_twice_give_the_same_bits() -> None:
    kept, with_them = trained(SGL, model_of(dropout=0.2))
    again, without = trained(SGL, model_of(dropout=0.2), recipe={"checkpointing": True})
    assert kept.losses == again.losses and distance(with_them, without) == 0
    assert not any(getattr(module, "gradient_checkpointing", False) for module in without.modules())
    assert without.config.use_cache == model_of().config.use_cache


def test_checkpointing_keeps_fewer_activations() -> None:
    def kept(**recipe: Any) -> int:
        return held_by_autograd(lambda: trained(recipe=recipe))

    # what a layer computes again passes the hooks of its own recomputation, not these
    assert kept(checkpointing=True) < 0.6 * kept()


def test_a_machine_with_several_gpus_trains_on_the_batch_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainer multiplies its batch by the devices that it sees; here it is told of two."""
    plain, alone = trained()
    make, sizes = training._arguments, list[int]()

    def on_two(*told: Any) -> Any:
        made = make(*told)
        _ = made.n_gpu  # else it would be looked up later, over what is set here
        made._n_gpu = 2
        return made

    monkeypatch.setattr(training, "_arguments", on_two)
    model = model_of()
    model.register_forward_pre_hook(lambda _, __, given: sizes.append(len(given["labels"])), with_kwargs=True)
    again, model = trained(model=model)
    assert sizes == [BATCH] * STEPS
    assert again.losses == plain.losses and distance(alone, model) == 0


# --- fp16 -------------------------------------------------------------------------------------------------------------


def test_fp16_without_a_gpu_is_refused_in_one_line() -> None:
    with pytest.raises(SpecError, match=r"^training\.precision = 'fp16' needs a GPU.*bf16$"):
        trained(recipe={"precision": "fp16"})


class Overflowing(FitTrainer):
    """A Trainer with accelerate's gradient scaler, on the CPU in fp32; a gradient of the first step is too large."""

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        self.accelerator.scaler = torch.amp.GradScaler("cpu")

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self.state.global_step == 0:
            model.proj_out.weight.grad[0, 0] = torch.inf
        return loss


@pytest.mark.parametrize("penalty", [None, PROXIMAL], ids=["plain", "prox"])
def test_a_step_whose_gradients_overflow_leaves_weights_and_schedule_alone(
    penalty: Penalty | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 5 steps the first overflows. What is left is the Fit over the other 4 batches, by the same scheduler."""
    monkeypatch.setattr(training, "FitTrainer", Overflowing)
    monkeypatch.setattr(Accelerator, "mixed_precision", property(lambda _: "fp16"))  # so that clipping unscales
    native = Accelerator.unscale_gradients

    def unscale(self: Accelerator, optimizer: Any = None) -> None:
        self.native_amp = True
        native(self, optimizer)

    monkeypatch.setattr(Accelerator, "unscale_gradients", unscale)
    done, model = trained(penalty)
    assert (done.skipped, done.steps, len(done.losses)) == (1, STEPS, STEPS)
    monkeypatch.undo()
    other = model_of()
    order = stream_order(len(LENGTHS), BATCH, 0, 0, STEPS)[BATCH:]
    view = View(other, Structure.of(other), Plan(), 0)
    recipe = Training(batch=BATCH, learning_rate=5e-3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(training, "rate", lambda step, recipe, steps: _rate(step, recipe, STEPS))
    fit(other, material(LENGTHS), order, recipe, Given(steps=STEPS - 1, seed=0, penalty=penalty, view=view))
    assert distance(model, other) < 1e-5
    assert distance(model, model_of()) > 1e-2


_rate = training.rate


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_teacher_passes_in_the_precision_of_the_student(precision: str) -> None:
    seen: dict[bool, set[torch.dtype]] = {True: set(), False: set()}

    def look(module: torch.nn.Module, _: Any, out: torch.Tensor) -> None:
        if isinstance(module, torch.nn.Linear):
            seen[out.requires_grad].add(out.dtype)

    hook = torch.nn.modules.module.register_module_forward_hook(look)
    try:
        done, model = trained(teach=True, recipe={"precision": precision})
    finally:
        hook.remove()
    expected = {torch.bfloat16 if precision == "bf16" else torch.float32}
    assert seen == {True: expected, False: expected}  # the student's, and the teacher's
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert np.isfinite(done.losses).all()


# --- SpecAugment ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("room", "share", "length", "least"), [(3000, 0.05, 10, 2), (80, 0.3, 7, 0), (40, 0.02, 10, 2)]
)
def test_stretches_are_as_many_as_transformers_draws(room: int, share: float, length: int, least: int) -> None:
    from transformers.models.whisper.modeling_whisper import _compute_mask_indices

    draw = np.random.default_rng(0)
    ours = np.stack([covered(room, share, length, draw, least) for _ in range(400)])
    np.random.seed(0)
    theirs = np.stack([_compute_mask_indices((1, room), share, length, min_masks=least)[0] for _ in range(400)])
    assert ours.mean() == pytest.approx(theirs.mean(), rel=0.05)
    assert ours.sum(1).max() <= max(np.ceil(share * room / length), least) * length
    assert np.abs(ours.mean(0) - theirs.mean(0)).max() < 0.15  # the same places as often, at the ends too


def test_where_little_is_asked_for_two_stretches_are_hidden_and_where_nothing_is_none() -> None:
    heard = np.ones((8, 40), dtype=np.float16)
    little = hiding(SpecAugment(time=0.001, time_length=3), heard.shape, seed=0, first=0)
    assert little
    hidden = [int((little(heard, index) == 0).all(axis=0).sum()) for index in range(50)]
    assert max(hidden) == 6 and min(hidden) > 3  # two, which may overlap
    assert hiding(SpecAugment(time=0, time_length=100), heard.shape, seed=0, first=0) is None


def test_what_is_hidden_depends_on_seed_and_place_alone() -> None:
    recipe = SpecAugment(time=0.3, time_length=3, feature=0.3, feature_length=2)
    heard = material(LENGTHS).features[0]
    whole = hiding(recipe, heard.shape, seed=1, first=0)
    later = hiding(recipe, heard.shape, seed=1, first=6)
    other = hiding(recipe, heard.shape, seed=2, first=0)
    assert whole and later and other
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    assert all(np.array_equal(whole(heard, 6 + i), later(heard, i)) for i in range(10))
    assert any(not np.array_equal(whole(heard, i), other(heard, i)) for i in range(10))
    assert np.array_equal(before, np.random.get_state()[1])  # nothing is drawn from the global generator
    drawn = np.stack([whole(heard, i) for i in range(50)])
    assert len({one.tobytes() for one in drawn}) > 10
    hidden = drawn == 0
    rows, columns = hidden.all(axis=2), hidden.all(axis=1)
    assert rows.any() and columns.any() and not hidden.all(axis=(1, 2)).any()
    assert np.array_equal(hidden, rows[:, :, None] | columns[:, None, :])  # whole frames and whole bands, nothing else
    assert np.array_equal(drawn[~hidden], np.broadcast_to(heard, drawn.shape)[~hidden])
    assert not (heard == 0).any()  # what is in the cache stays


def test_the_batch_that_is_trained_on_is_the_hidden_one_in_any_parts() -> None:
    recipe = SpecAugment(time=0.3, time_length=3)
    hide = hiding(recipe, (8, 16), seed=1, first=0)
    assert hide and hiding(None, (8, 16), seed=1, first=0) is None
    order = stream_order(len(LENGTHS), BATCH, 0, 0, STEPS)
    batch = collate([BatchStream(material(LENGTHS), order, hide)[i] for i in range(BATCH)])["input_features"]
    assert (batch == 0).all(dim=1).any()

    def run(parts: int, hiding: Any) -> Any:
        model = model_of()
        settings = Training(batch=BATCH, learning_rate=5e-3, accumulate=parts)
        fit(model, material(LENGTHS), order, settings, Given(steps=STEPS, seed=0, hide=hiding))
        return model

    assert distance(run(1, hide), run(4, hide)) < 2e-5
    assert distance(run(1, hide), run(1, None)) > 1e-3


def test_the_models_own_spec_augment_is_off_while_it_trains_and_back_after_it() -> None:
    """It draws from a global generator once a micro-batch; fine-tuned models are often saved with it."""
    model = model_of()
    model.config.apply_spec_augment, model.config.mask_time_prob, model.config.mask_time_length = True, 0.5, 3
    assert distance(trained(model=model)[1], trained()[1]) == 0
    assert model.config.apply_spec_augment


def test_a_stretch_longer_than_the_features_is_refused() -> None:
    with pytest.raises(SpecError, match="time_length = 20: the features have 16"):
        hiding(SpecAugment(time_length=20), (8, 16), seed=0, first=0)
    with pytest.raises(SpecError, match="feature_length = 10: the features have 8"):
        hiding(SpecAugment(feature=0.1), (8, 16), seed=0, first=0)


# --- grouping by length -----------------------------------------------------------------------------------------------


def test_grouped_batches_have_like_lengths_and_the_same_utterances() -> None:
    draw = np.random.default_rng(0)
    lengths, batch = draw.integers(3, 200, size=130), 4
    steps = 3 * MEGABATCH
    plain = stream_order(130, batch, 7, 0, steps)
    grouped = stream_order(130, batch, 7, 0, steps, lengths.tolist())
    size = MEGABATCH * batch
    for piece in range(3):  # each megabatch holds what the plain stream holds there
        part = slice(piece * size, (piece + 1) * size)
        assert sorted(grouped[part]) == sorted(plain[part])

    def padding(order: np.ndarray) -> float:
        cut = lengths[order].reshape(-1, batch)
        return float(1 - cut.sum() / (cut.max(axis=1) * batch).sum())

    assert padding(grouped) < 0.15 * padding(plain)
    means = lengths[grouped].reshape(3, MEGABATCH, batch).mean(axis=2)
    order = np.arange(MEGABATCH)
    assert all(abs(np.corrcoef(order, mean)[0, 1]) < 0.5 for mean in means)  # nor from short to long


@pytest.mark.parametrize("cut", [[1, 4, 48, 60, 37], [50, 100], [149, 1]])
def test_the_grouped_stream_is_a_function_of_seed_and_path_step(cut: list[int]) -> None:
    lengths = np.random.default_rng(1).integers(3, 50, size=37).tolist()
    order = partial(stream_order, 37, 4, lengths=lengths)
    starts = np.cumsum([0, *cut[:-1]])
    parts = [order(seed=5, start=int(start), steps=steps) for start, steps in zip(starts, cut, strict=True)]
    assert np.array_equal(np.concatenate(parts), order(seed=5, start=0, steps=150))
    assert not np.array_equal(order(seed=5, start=0, steps=150), order(seed=6, start=0, steps=150))
