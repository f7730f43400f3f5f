"""One Fit: transformers' Seq2SeqTrainer over a batch stream that is a function of (seed, path step) alone."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from benchmark.api import OptimizerStep, Penalty
from benchmark.errors import SpecError
from benchmark.harness.batches import IGNORED_LABEL, BatchStream, Tokenised, collate
from benchmark.harness.optimizer import adam_metric, make_optimizer, optimizer_state, rate
from benchmark.specs import Training
from benchmark.whisper.masking import Masker
from benchmark.whisper.view import View

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""
Look = Callable[[int], bool]
"""Called with the steps done, after each but the last; whether the Fit ends here."""


@dataclass
class Trained:
    """What a Fit leaves behind besides the weights: the optimiser's state by parameter name, and its cost."""

    optimizer: dict[str, dict[str, torch.Tensor]]
    steps: int
    """Fewer than were asked for where a look has ended the Fit."""
    seconds: float
    utterances: int
    tokens: int
    loss: float


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
    """After each optimiser step: the proximal step, then pruned weights back to exactly zero; progress, and a look."""

    masker: Masker | None
    progress: Progress | None
    look: Look | None = None
    proximal: Callable[[], None] | None = None

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the proximal step and re-apply the masks: momentum moves a weight even where its gradient is zero."""
        if self.proximal is not None:
            self.proximal()
        if self.masker is not None:
            self.masker.apply_()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell the progress bar, and whoever looks: it may end the Fit."""
        if self.progress is not None:
            self.progress(state.global_step, state.max_steps)
        if self.look is not None and state.global_step < state.max_steps and self.look(state.global_step):
            control.should_training_stop = True


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


def _check_finite(model: Any, loss: float, penalty: Penalty | None, steps: int) -> None:
    if not np.isfinite(loss):
        besides = f" (with {type(penalty).__name__} in it)" if penalty is not None and not penalty.proximal else ""
        raise FloatingPointError(f"training loss{besides} became {loss} within {steps} steps")
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise FloatingPointError(f"{name} is not finite after {steps} steps of training")


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
    look: Look | None = None,
) -> Trained:
    """Train ``model`` in place for ``steps`` optimiser steps over ``order`` (shape ``(steps * batch,)``).

    The learning rate warms up and decays within this call. Masked weights stay exactly zero. ``seed`` fixes what
    is random inside the model (dropout, SpecAugment). A ``teacher`` of the same outputs adds ``distillation`` to the
    loss. ``look`` may end the Fit early; what it does must leave no trace in what is trained (``harness.watch``).

    Raises:
        FloatingPointError: the loss or a weight is not finite.
    """
    began = time.perf_counter()
    pulled = penalty.pulls(view.structure) if penalty is not None and view is not None else ()
    adam = make_optimizer(model, recipe, optimizer, set(pulled))
    callback = FitCallback(masker, progress, look)
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
    _check_finite(model, outcome.training_loss, penalty, steps)
    done = int(trainer.state.global_step)
    used = order[: done * recipe.batch]
    labels = [len(material.labels[int(index)]) for index in used]
    return Trained(
        optimizer=optimizer_state(model, adam),
        steps=done,
        seconds=time.perf_counter() - began,
        utterances=len(used),
        tokens=int(sum(labels)),
        loss=float(outcome.training_loss),
    )
