"""One Fit: transformers' Seq2SeqTrainer over a batch stream that is a function of (seed, path step) alone.

Several processes train one Fit together where accelerate finds their variables, as ``torchrun`` sets them: each calls
``fit`` with the same arguments, passes its part of every batch, and ends with the same weights::

    torchrun --nproc-per-node 2 fit_script.py    # which builds the model, the material and the order, and calls fit

``batch`` stays the size of the whole batch, so results and ids do not depend on the number of processes. The harness'
own workers are single processes, one a GPU, that share a run folder (``harness.worker``): as cells are many, that
keeps all GPUs busy without any traffic between them. A worker under torchrun would be for one Fit that is too slow for
one GPU: rank 0 would claim units and tell the others which (``torch.distributed.broadcast_object_list``), all would
call ``execute.train_node`` with it, and rank 0 alone would save the node, evaluate, and write records.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset, Subset
from transformers import Seq2SeqTrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from benchmark.api import OptimizerStep, Penalty
from benchmark.errors import SpecError
from benchmark.harness.batches import BatchStream, Hide, Tokenised, check_parts, check_precision, collate
from benchmark.harness.callback import FitCallback, Look, Progress
from benchmark.harness.checkpoints import Checkpoints, Progressed
from benchmark.harness.environment import here
from benchmark.harness.optimizer import adam_metric, make_optimizer, optimizer_state, rate
from benchmark.harness.state import Moments, each_once
from benchmark.harness.trackers import LOOKS, logging_into, trackers
from benchmark.harness.trainer import FitTrainer, as_told
from benchmark.specs import Tracker, Training
from benchmark.whisper.masking import Masker
from benchmark.whisper.view import View


@dataclass(frozen=True)
class Given:
    """What a Fit is given besides the model, the data and the recipe."""

    steps: int
    """Optimiser steps; the learning rate warms up and decays within them."""
    seed: int
    """Of what is random inside the model (dropout)."""
    penalty: Penalty | None = None
    view: View | None = None
    """Of the model, for the penalty."""
    masker: Masker | None = None
    """Whose weights stay exactly zero."""
    optimizer: Moments | None = None
    """Moments to begin with, by parameter name."""
    teacher: Any = None
    """A model of the same outputs: ``distillation`` is added to the loss."""
    hide: Hide | None = None
    """SpecAugment; the model's own is switched off."""
    progress: Progress | None = None
    look: Look | None = None
    """May end the Fit early; what it does must leave no trace in what is trained (``harness.watch``)."""
    checkpoints: Checkpoints | None = None
    """Those of an earlier process are gone on from; they remain for the caller to drop once all is safe."""
    logs: Path | None = None
    """The folder that trackers write into; without it none is told."""


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
    """The mean over the steps."""
    losses: list[float] = field(default_factory=list)
    """Of each step."""
    trained_on: list[dict[str, Any]] = field(default_factory=list)
    """Devices, threads and commits that its steps were done under, each once: several where a killed Fit went on."""
    skipped: int = 0
    """Steps that fp16 skipped because a gradient overflowed: the data went by, and the weights stayed."""


def _arguments(
    recipe: Training, steps: int, seed: int, folder: str, told: list[Tracker], name: str | None
) -> Seq2SeqTrainingArguments:
    on_gpu = torch.cuda.is_available()
    check_precision(recipe.precision)
    arguments = Seq2SeqTrainingArguments(
        output_dir=folder,
        run_name=name,
        max_steps=steps,
        per_device_train_batch_size=recipe.batch // recipe.accumulate,
        gradient_accumulation_steps=recipe.accumulate,
        learning_rate=recipe.learning_rate,
        max_grad_norm=recipe.clip,
        weight_decay=recipe.weight_decay,
        train_sampling_strategy="sequential",
        bf16=recipe.precision == "bf16",
        fp16=recipe.precision == "fp16",
        use_cpu=not on_gpu,
        seed=seed,
        save_strategy="no",
        logging_strategy="steps" if told else "no",
        logging_steps=max(1, steps // LOOKS),
        logging_nan_inf_filter=False,  # a loss that is not finite must be seen, not averaged away
        report_to=list[str](told),
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=on_gpu,
    )
    parts = recipe.accumulate * arguments.world_size
    if recipe.batch % parts:
        raise SpecError(
            f"training.batch = {recipe.batch} cannot be cut into {parts} equal parts (accumulate {recipe.accumulate}, "
            f"{arguments.world_size} processes); make it a multiple"
        )
    arguments.per_device_train_batch_size = recipe.batch // parts
    return arguments


def _check_finite(model: Any, loss: float, penalty: Penalty | None, steps: int) -> None:
    if not np.isfinite(loss):
        besides = f" (with {type(penalty).__name__} in it)" if penalty is not None and not penalty.proximal else ""
        raise FloatingPointError(f"training loss{besides} became {loss} within {steps} steps")
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise FloatingPointError(f"{name} is not finite after {steps} steps of training")


def _proximal_step(trainer: FitTrainer, adam: torch.optim.AdamW, penalty: Penalty, view: View) -> None:
    if trainer.accelerator.optimizer_step_was_skipped:  # fp16 overflow: the weights did not move, nor may they now
        return
    lr = float(adam.param_groups[0]["lr"])
    penalty.prox_(view, OptimizerStep(lr, lambda matrix: adam_metric(adam, view.parameter(matrix))))


@dataclass(frozen=True)
class _Run:
    """A Fit that is under way in this process."""

    model: Any
    recipe: Training
    given: Given
    begun: Progressed
    """What an earlier process did of it."""
    adam: torch.optim.AdamW
    schedule: LambdaLR
    began: float
    """When this process began, by ``time.perf_counter``."""

    @classmethod
    def begin(cls, model: Any, recipe: Training, given: Given) -> _Run:
        """Return one that goes on from the newest checkpoint, or begins with the moments that it is given."""
        began = time.perf_counter()
        begun = given.checkpoints.load(model) if given.checkpoints is not None else Progressed()
        penalty, view = given.penalty, given.view
        pulled = penalty.pulls(view.structure) if penalty is not None and view is not None else ()
        adam = make_optimizer(model, recipe, begun.moments or given.optimizer, set(pulled))
        schedule = LambdaLR(adam, partial(_rate, recipe=recipe, steps=given.steps, done=begun.scheduled))
        return cls(model, recipe, given, begun, adam, schedule, began)

    def trainer(self, stream: Dataset[dict[str, Any]], folder: str, told: list[Tracker]) -> FitTrainer:
        """Return what trains on the stream's part that is left."""
        given, recipe, begun = self.given, self.recipe, self.begun
        name = None if given.logs is None else given.logs.name
        arguments = _arguments(recipe, given.steps - begun.steps, given.seed, folder, told, name)
        check_parts(self.model, recipe.accumulate * arguments.world_size)
        callback = FitCallback(self.adam, given.masker, given.progress, given.look, begun)
        trainer = FitTrainer(
            model=self.model,
            args=arguments,
            train_dataset=stream,
            data_collator=collate,
            callbacks=[callback],
            optimizers=(self.adam, self.schedule),
            penalty=given.penalty,
            view=given.view,
            teacher=given.teacher,
            done=begun.steps,
        )
        if begun.scaler is not None and trainer.accelerator.scaler is not None:
            trainer.accelerator.scaler.load_state_dict(begun.scaler)
        if given.penalty is not None and given.view is not None and given.penalty.proximal:
            callback.proximal = partial(_proximal_step, trainer, self.adam, given.penalty, given.view)
        if given.checkpoints is not None:
            callback.checkpoint = partial(self.checkpoint, given.checkpoints, trainer)
        for noisy in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(noisy)
        return trainer

    def reached(self, trainer: FitTrainer) -> Progressed:
        """Return what the Fit has come to; all processes call it."""
        scaler = trainer.accelerator.scaler
        return Progressed(
            steps=self.begun.steps + int(trainer.state.global_step),
            scheduled=self.begun.scheduled + self.schedule.last_epoch,
            seconds=self.begun.seconds + time.perf_counter() - self.began,
            trained_on=each_once(self.begun.trained_on, [here()]),
            losses=torch.cat([self.begun.losses, trainer.losses]),
            moments=optimizer_state(self.model, self.adam),
            scaler=None if scaler is None else scaler.state_dict(),
        )

    def checkpoint(self, checkpoints: Checkpoints, trainer: FitTrainer, done: int) -> None:
        """Write a checkpoint after ``done`` steps of the Fit where one is due."""
        if checkpoints.due(done):
            checkpoints.save(self.model, self.reached(trainer), trainer.agree)


def fit(model: Any, material: Tokenised, order: np.ndarray, recipe: Training, given: Given) -> Trained:
    """Train ``model`` in place for ``given.steps`` optimiser steps over ``order`` (shape ``(steps * batch,)``).

    Raises:
        FloatingPointError: the loss or a weight is not finite.
        SpecError: fp16 without a GPU; a batch that cannot be cut into equal parts, or must not be, as the model has
            dropout; a tracker that is not installed.
    """
    told = trackers(recipe) if given.logs is not None else []
    run = _Run.begin(model, recipe, given)
    stream = Subset(BatchStream(material, order, given.hide), range(run.begun.steps * recipe.batch, len(order)))
    with tempfile.TemporaryDirectory() as folder, logging_into(given.logs, told), as_told(model, recipe):
        trainer = run.trainer(stream, folder, told)
        with _held(given.masker):
            trainer.train()
    reached = run.reached(trainer)
    loss = float(reached.losses.double().mean())
    _check_finite(model, loss, given.penalty, given.steps)
    used = order[: reached.steps * recipe.batch]
    return Trained(
        optimizer=reached.moments or {},
        steps=reached.steps,
        seconds=reached.seconds,
        utterances=len(used),
        tokens=sum(len(material.labels[int(index)]) for index in used),
        loss=loss,
        losses=reached.losses.tolist(),
        trained_on=reached.trained_on,
        skipped=reached.steps - reached.scheduled,
    )


@contextmanager
def _held(masker: Masker | None) -> Iterator[None]:
    """Keep pruned weights at zero, and out of gradients, for a while."""
    if masker is None:
        yield
        return
    masker.apply_()
    masker.attach()
    try:
        yield
    finally:
        masker.detach()


def _rate(step: int, *, recipe: Training, steps: int, done: int) -> float:
    """Return the share of the peak rate at a step of this process, before which ``done`` were done by another."""
    return rate(done + step, recipe, steps)
