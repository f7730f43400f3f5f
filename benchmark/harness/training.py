"""One Fit: transformers' Seq2SeqTrainer over a batch stream that is a function of (seed, path step) alone."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from benchmark.api import OptimizerStep, Penalty
from benchmark.errors import SpecError
from benchmark.harness.seeds import derive
from benchmark.specs import Training
from benchmark.whisper.masking import Masker
from benchmark.whisper.view import View

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""

IGNORED_LABEL = -100


@dataclass
class Tokenised:
    """Training material: features of shape (N, mels, frames) in fp16, and label ids per utterance."""

    features: np.ndarray
    labels: Sequence[Sequence[int]]


@dataclass
class Trained:
    """What a Fit leaves behind besides the weights: the optimiser's state by parameter name, and its cost."""

    optimizer: dict[str, dict[str, torch.Tensor]]
    seconds: float
    utterances: int
    tokens: int
    loss: float


class BatchStream(Dataset[dict[str, Any]]):
    """The utterances of a Fit in the order of training: item i belongs to step ``i // batch`` of the Fit."""

    def __init__(self, material: Tokenised, order: np.ndarray) -> None:
        self.material, self.order = material, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> dict[str, Any]:
        utterance = int(self.order[index])
        return {"input_features": self.material.features[utterance], "labels": self.material.labels[utterance]}


def stream_order(utterances: int, batch: int, seed: int, start: int, steps: int) -> np.ndarray:
    """Return utterance indices, shape ``(steps * batch,)``, of path steps ``start .. start + steps``.

    Epochs are independent permutations derived from (seed, epoch), so the batch at a path step depends on nothing
    else: every cell sees the same data in the same order, whatever was trained, pruned or rewound before.
    """
    first, last = start * batch, (start + steps) * batch
    epochs = range(first // utterances, (last - 1) // utterances + 1)
    stream = np.concatenate(
        [np.random.default_rng(derive(seed, "data", epoch)).permutation(utterances) for epoch in epochs]
    )
    return stream[first - epochs[0] * utterances : last - epochs[0] * utterances]


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Stack features as fp32 (batch, mels, frames) and pad labels with -100 to (batch, longest)."""
    features = torch.from_numpy(np.stack([row["input_features"] for row in rows]).astype(np.float32))
    labels = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(row["labels"]) for row in rows], batch_first=True, padding_value=IGNORED_LABEL
    )
    return {"input_features": features, "labels": labels}


KD_WEIGHT, TEMPERATURE = 0.8, 2.0
"""Distillation: ``CE + 0.8 * KL(teacher || student)``, the weights of Distil-Whisper (Gandhi et al. 2023, arXiv
2311.00430, there with pseudo-labels for the cross-entropy); the distributions are softened by a temperature of 2, and
KL scaled by its square, as in Hinton et al. 2015 (arXiv 1503.02531). The temperature is our choice."""


def distillation(student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean over real tokens of ``T^2 * KL(teacher || student)``, a scalar in fp32.

    Args:
        student: logits, shape ``(batch, tokens, vocabulary)``; carries the gradient.
        teacher: logits of the same shape.
        labels: token ids, shape ``(batch, tokens)``; ``IGNORED_LABEL`` is padding and counts nothing.
    """
    real = labels != IGNORED_LABEL
    ours = torch.log_softmax(student[real].float() / TEMPERATURE, dim=-1)
    theirs = torch.log_softmax(teacher[real].float() / TEMPERATURE, dim=-1)
    per_token = torch.nn.functional.kl_div(ours, theirs, log_target=True, reduction="batchmean")
    return per_token * TEMPERATURE**2


class FitTrainer(Seq2SeqTrainer):
    """Seq2SeqTrainer that adds a differentiable penalty to the loss, once however many micro-batches or processes.

    With a ``teacher``, the distance to its predictions is added too; the teacher is not trained.

    Whisper's forward returns the mean over the micro-batch and does not look at ``num_items_in_batch``, although
    the Trainer believes so from its signature; without the two flags below, gradient accumulation would multiply
    the gradient.
    """

    loss_is_scaled_for_ga = False

    def __init__(
        self,
        *args: Any,
        penalty: Penalty | None = None,
        view: View | None = None,
        teacher: Any = None,
        **kwargs: Any,
    ) -> None:
        self.penalty, self.view = penalty, view  # what shards weights is set up, and refused, in the next line
        super().__init__(*args, **kwargs)
        self.teacher = None if teacher is None else teacher.to(self.args.device).eval().requires_grad_(False)
        self.model_accepts_loss_kwargs = False
        # One device a worker: with more, Trainer would multiply the batch, and the data would not be those of the step.
        self.args._n_gpu = min(1, self.args.n_gpu)

    def create_accelerator_and_postprocess(self) -> None:
        """Set up what runs the training, and refuse what would give a penalty parts of weights.

        Raises:
            SpecError: a penalty under FSDP or DeepSpeed.
        """
        super().create_accelerator_and_postprocess()
        if self.penalty is not None and (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            raise SpecError("a penalty needs whole weights: FSDP and ZeRO-3 shard them, and a shard has no group norms")

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Cross-entropy of the model, plus distillation, plus the penalty in fp32 on the master weights.

        The penalty comes first, because autograd goes backward from what was computed last: its gradient, as large as
        the weights, is then made when the activations are gone, and not beside all of them.
        """
        penalty: torch.Tensor | None = None
        if self.penalty is not None and self.view is not None and not self.penalty.proximal:
            with torch.autocast(device_type=self.args.device.type, enabled=False):
                penalty = self.penalty.loss(self.view)
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if self.teacher is not None:
            with torch.no_grad():
                taught = self.teacher(**inputs).logits
            loss = loss + KD_WEIGHT * distillation(outputs.logits, taught, inputs["labels"])
        if penalty is not None:
            loss = loss + penalty
        return (loss, outputs) if return_outputs else loss


@dataclass
class FitCallback(TrainerCallback):
    """After each optimiser step: the proximal step, then pruned weights back to exactly zero; report progress."""

    masker: Masker | None
    progress: Progress | None
    proximal: Callable[[], None] | None = None

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the proximal step and re-apply the masks: momentum moves a weight even where its gradient is zero."""
        if self.proximal is not None:
            self.proximal()
        if self.masker is not None:
            self.masker.apply_()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell the progress bar."""
        if self.progress is not None:
            self.progress(state.global_step, state.max_steps)


BETAS = (0.9, 0.98)
EPSILON = 1e-6
"""AdamW as Whisper was trained with (Radford et al. 2022, arXiv 2212.04356, table 17)."""


def make_optimizer(
    model: Any, recipe: Training, state: dict[str, dict[str, torch.Tensor]] | None, penalised: Set[str] = frozenset()
) -> torch.optim.AdamW:
    """Return AdamW over the trainable parameters, its moments restored from ``state`` (by parameter name).

    ``penalised`` names what a penalty shrinks already: no weight decay there.
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    decayed = [parameter for name, parameter in named if name not in penalised]
    spared = [parameter for name, parameter in named if name in penalised]
    groups: list[dict[str, Any]] = [{"params": decayed}]
    if spared:
        groups.append({"params": spared, "weight_decay": 0.0})
    optimizer = torch.optim.AdamW(
        groups,
        lr=recipe.learning_rate,
        betas=BETAS,
        eps=EPSILON,
        weight_decay=recipe.weight_decay,
    )
    for name, parameter in named if state else []:
        moments = (state or {}).get(name)
        if moments is not None:
            optimizer.state[parameter] = {key: value.clone() for key, value in moments.items()}
    return optimizer


def adam_metric(adam: torch.optim.AdamW, parameter: torch.nn.Parameter) -> torch.Tensor:
    """Return what Adam's last step divided by: ``sqrt(v / (1 - beta2 ** t)) + eps``, of the parameter's shape, fp32."""
    state = adam.state[parameter]
    corrected = state["exp_avg_sq"].float() / (1 - BETAS[1] ** float(state["step"]))
    return corrected.sqrt_().add_(EPSILON)


def optimizer_state(model: Any, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, torch.Tensor]]:
    """Return the optimiser's moments by parameter name, on the CPU."""
    return {
        name: {key: value.detach().cpu().clone() for key, value in optimizer.state[parameter].items()}
        for name, parameter in model.named_parameters()
        if parameter in optimizer.state
    }


def rate(step: int, recipe: Training, steps: int) -> float:
    """Return the share of the peak rate at one step (0 ...) of a Fit of so many steps; never zero.

    transformers' own schedules begin at zero, so each Fit would lose a step: IMP, which has many Fits, the most of all.
    """
    warm = round(recipe.warmup * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    if step >= steps:  # asked for after the last step, and never used
        return 0.0
    done = (step - warm) / (steps - warm)
    return 1 - done if recipe.decay == "linear" else (1 + math.cos(math.pi * done)) / 2


def _arguments(recipe: Training, steps: int, seed: int, folder: str) -> Seq2SeqTrainingArguments:
    on_gpu = torch.cuda.is_available()
    return Seq2SeqTrainingArguments(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=recipe.batch,
        learning_rate=recipe.learning_rate,
        max_grad_norm=recipe.clip,
        weight_decay=recipe.weight_decay,
        train_sampling_strategy="sequential",
        bf16=recipe.precision == "bf16",
        use_cpu=not on_gpu,
        seed=seed,
        save_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,  # a loss that is not finite must be seen, not averaged away
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=on_gpu,
    )


def _proximal_step(trainer: FitTrainer, adam: torch.optim.AdamW, penalty: Penalty, view: View) -> None:
    if trainer.accelerator.optimizer_step_was_skipped:  # fp16 overflow: the weights did not move, nor may they now
        return
    lr = float(adam.param_groups[0]["lr"])
    penalty.prox_(view, OptimizerStep(lr, lambda matrix: adam_metric(adam, view.parameter(matrix))))


def fit(
    model: Any,
    material: Tokenised,
    order: np.ndarray,
    recipe: Training,
    *,
    steps: int,
    seed: int,
    penalty: Penalty | None = None,
    view: View | None = None,
    masker: Masker | None = None,
    optimizer: dict[str, dict[str, torch.Tensor]] | None = None,
    progress: Progress | None = None,
    teacher: Any = None,
) -> Trained:
    """Train ``model`` in place for ``steps`` optimiser steps over ``order`` (shape ``(steps * batch,)``).

    The learning rate warms up and decays within this call. Masked weights stay exactly zero. ``seed`` fixes what
    is random inside the model (dropout, SpecAugment). A ``teacher`` of the same outputs adds ``distillation`` to the
    loss.

    Raises:
        FloatingPointError: the loss or a weight is not finite.
    """
    began = time.perf_counter()
    pulled = penalty.pulls(view.structure) if penalty is not None and view is not None else ()
    adam = make_optimizer(model, recipe, optimizer, set(pulled))
    callback = FitCallback(masker, progress)
    with tempfile.TemporaryDirectory() as folder:
        trainer = FitTrainer(
            model=model,
            args=_arguments(recipe, steps, seed, folder),
            train_dataset=BatchStream(material, order),
            data_collator=collate,
            callbacks=[callback],
            optimizers=(adam, torch.optim.lr_scheduler.LambdaLR(adam, partial(rate, recipe=recipe, steps=steps))),
            penalty=penalty,
            view=view,
            teacher=teacher,
        )
        if penalty is not None and view is not None and penalty.proximal:
            callback.proximal = partial(_proximal_step, trainer, adam, penalty, view)
        for noisy in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(noisy)
        if masker is not None:
            masker.apply_()
            masker.attach()
        try:
            outcome = trainer.train()
        finally:
            if masker is not None:
                masker.detach()
    if not np.isfinite(outcome.training_loss):
        besides = f" (with {type(penalty).__name__} in it)" if penalty is not None and not penalty.proximal else ""
        raise FloatingPointError(f"training loss{besides} became {outcome.training_loss} within {steps} steps")
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise FloatingPointError(f"{name} is not finite after {steps} steps of training")
    labels = [len(material.labels[int(index)]) for index in order]
    return Trained(
        optimizer=optimizer_state(model, adam),
        seconds=time.perf_counter() - began,
        utterances=len(order),
        tokens=int(sum(labels)),
        loss=float(outcome.training_loss),
    )
