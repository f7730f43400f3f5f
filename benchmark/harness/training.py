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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Subset
from transformers import Seq2SeqTrainingArguments, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from benchmark.api import OptimizerStep, Penalty
from benchmark.errors import SpecError
from benchmark.harness.batches import BatchStream, Hide, Tokenised, check_parts, collate
from benchmark.harness.checkpoints import Checkpoints, Progressed, restore
from benchmark.harness.environment import here
from benchmark.harness.optimizer import adam_metric, counters_on_cpu_, make_optimizer, optimizer_state, rate
from benchmark.harness.state import each_once
from benchmark.harness.trackers import LOOKS, logging_into, trackers
from benchmark.harness.trainer import FitTrainer
from benchmark.specs import Tracker, Training
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
    """The mean over the steps."""
    losses: list[float] = field(default_factory=list)
    """Of each step."""
    trained_on: list[dict[str, Any]] = field(default_factory=list)
    """Devices, threads and commits that its steps were done under, each once: several where a killed Fit went on."""
    skipped: int = 0
    """Steps that fp16 skipped because a gradient overflowed: the data went by, and the weights stayed."""


@dataclass
class FitCallback(TrainerCallback):
    """After each optimiser step: the proximal step, then pruned weights back to exactly zero; and who else is told."""

    adam: torch.optim.AdamW
    masker: Masker | None
    progress: Progress | None
    look: Look | None = None
    begun: Progressed = field(default_factory=Progressed)
    """What an earlier process did of this Fit."""
    proximal: Callable[[], None] | None = None
    checkpoint: Callable[[int], None] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Undo a part of what preparing the optimiser for its device did."""
        counters_on_cpu_(self.adam)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Go on with the random generators of the checkpoint: what set up this process has drawn from them too."""
        if state.global_step == 0 and self.begun.generators is not None:
            restore(self.begun.generators)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the proximal step and re-apply the masks: momentum moves a weight even where its gradient is zero."""
        if self.proximal is not None:
            self.proximal()
        if self.masker is not None:
            self.masker.apply_()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell the progress bar, and whoever looks: it may end the Fit."""
        done, of = self.begun.steps + state.global_step, self.begun.steps + state.max_steps
        if self.progress is not None:
            self.progress(done, of)
        if self.look is not None and done < of and self.look(done):
            control.should_training_stop = True
        elif self.checkpoint is not None and done < of:
            self.checkpoint(done)


def _arguments(
    recipe: Training, steps: int, seed: int, folder: str, told: list[Tracker], name: str | None
) -> Seq2SeqTrainingArguments:
    on_gpu = torch.cuda.is_available()
    if recipe.precision == "fp16" and not on_gpu:  # accelerate would train in fp32 and say nothing
        raise SpecError("training.precision = 'fp16' needs a GPU, and there is none here; take fp32 or bf16")
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
    hide: Hide | None = None,
    checkpoints: Checkpoints | None = None,
    logs: Path | None = None,
) -> Trained:
    """Train ``model`` in place for ``steps`` optimiser steps over ``order`` (shape ``(steps * batch,)``).

    The learning rate warms up and decays within this call. Masked weights stay exactly zero. ``seed`` fixes what
    is random inside the model (dropout). A ``teacher`` of the same outputs adds ``distillation`` to the loss. ``look``
    may end the Fit early; what it does must leave no trace in what is trained (``harness.watch``). ``hide`` is
    SpecAugment; the model's own is switched off. ``checkpoints`` of an earlier process are gone on from, and remain for
    the caller to drop once what the Fit has made is safe. Trackers write into the folder ``logs``; without it none is
    told.

    Raises:
        FloatingPointError: the loss or a weight is not finite.
        SpecError: fp16 without a GPU; a batch that cannot be cut into equal parts, or must not be, as the model has
            dropout; a tracker that is not installed.
    """
    began = time.perf_counter()
    told = trackers(recipe) if logs is not None else []
    begun = checkpoints.load(model) if checkpoints is not None else Progressed()
    pulled = penalty.pulls(view.structure) if penalty is not None and view is not None else ()
    adam = make_optimizer(model, recipe, begun.moments or optimizer, set(pulled))
    callback = FitCallback(adam, masker, progress, look, begun)
    shape = partial(_rate, recipe=recipe, steps=steps, done=begun.scheduled)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, shape)
    stream = BatchStream(material, order, hide)
    with tempfile.TemporaryDirectory() as folder, logging_into(logs, told), _as_told(model, recipe):
        arguments = _arguments(recipe, steps - begun.steps, seed, folder, told, None if logs is None else logs.name)
        check_parts(model, recipe.accumulate * arguments.world_size)
        trainer = FitTrainer(
            model=model,
            args=arguments,
            train_dataset=Subset(stream, range(begun.steps * recipe.batch, len(order))),
            data_collator=collate,
            callbacks=[callback],
            optimizers=(adam, schedule),
            penalty=penalty,
            view=view,
            teacher=teacher,
            done=begun.steps,
        )
        if begun.scaler is not None and trainer.accelerator.scaler is not None:
            trainer.accelerator.scaler.load_state_dict(begun.scaler)
        if penalty is not None and view is not None and penalty.proximal:
            callback.proximal = partial(_proximal_step, trainer, adam, penalty, view)
        if checkpoints is not None:
            callback.checkpoint = partial(_checkpoint, checkpoints, trainer, adam, schedule, begun, began)
        for noisy in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(noisy)
        if masker is not None:
            masker.apply_()
            masker.attach()
        try:
            trainer.train()
        finally:
            if masker is not None:
                masker.detach()
    losses = torch.cat([begun.losses, trainer.losses])
    loss = float(losses.double().mean())
    _check_finite(model, loss, penalty, steps)
    done = begun.steps + int(trainer.state.global_step)
    used = order[: done * recipe.batch]
    return Trained(
        optimizer=optimizer_state(model, adam),
        steps=done,
        seconds=begun.seconds + time.perf_counter() - began,
        utterances=len(used),
        tokens=sum(len(material.labels[int(index)]) for index in used),
        loss=loss,
        losses=losses.tolist(),
        trained_on=each_once(begun.trained_on, [here()]),
        skipped=done - begun.scheduled - schedule.last_epoch,
    )


def _rate(step: int, *, recipe: Training, steps: int, done: int) -> float:
    """Return the share of the peak rate at a step of this process, before which ``done`` were done by another."""
    return rate(done + step, recipe, steps)


@contextmanager
def _as_told(model: Any, recipe: Training) -> Iterator[None]:
    """Train as the recipe says, whatever the model's configuration holds, which is given back after that.

    Hugging Face's SpecAugment would draw once a micro-batch: it is off, and ``harness.augment`` takes its place. With
    ``checkpointing``, each layer's activations are computed again on the way back.
    """
    config = model.config
    before = config.apply_spec_augment, config.use_cache
    config.apply_spec_augment = False
    word = (
        "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    )  # as transformers renamed it
    if recipe.checkpointing:
        config.use_cache = False  # which training does not need, and checkpointing cannot have
        enable = getattr(model, f"{word}_checkpointing_enable")
        enable(**{f"{word}_checkpointing_kwargs": {"use_reentrant": False}})
    try:
        yield
    finally:
        config.apply_spec_augment, config.use_cache = before
        if recipe.checkpointing:
            getattr(model, f"{word}_checkpointing_disable")()


def _checkpoint(
    checkpoints: Checkpoints,
    trainer: FitTrainer,
    adam: torch.optim.AdamW,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    begun: Progressed,
    began: float,
    done: int,
) -> None:
    """Write a checkpoint after ``done`` steps of the Fit where one is due."""
    if not checkpoints.due(done):
        return
    scaler = trainer.accelerator.scaler
    reached = Progressed(
        steps=done,
        scheduled=begun.scheduled + schedule.last_epoch,
        seconds=begun.seconds + time.perf_counter() - began,
        trained_on=each_once(begun.trained_on, [here()]),
        losses=torch.cat([begun.losses, trainer.losses]),
        moments=optimizer_state(trainer.model, adam),
        scaler=None if scaler is None else scaler.state_dict(),
    )
    checkpoints.save(trainer.model, reached, trainer.agree)
