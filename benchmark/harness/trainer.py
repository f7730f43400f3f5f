"""What runs a Fit: transformers' Seq2SeqTrainer, whose loss is the same however a batch is cut into parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

from benchmark.api import Penalty
from benchmark.errors import SpecError
from benchmark.harness.batches import IGNORED_LABEL
from benchmark.specs import Training
from benchmark.whisper.view import View

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
    the gradient. And a mean of means is not the mean where parts have unequally many tokens, so each part is weighted
    by its tokens: the loss of a step is the mean over the tokens of the whole batch, in however many micro-batches and
    processes it is passed.

    Args:
        done: steps of this Fit that an earlier process did; trackers are told steps of the whole Fit.
    """

    loss_is_scaled_for_ga = False

    def __init__(
        self,
        *,
        args: Seq2SeqTrainingArguments,
        penalty: Penalty | None = None,
        view: View | None = None,
        teacher: Any = None,
        done: int = 0,
        **kwargs: Any,
    ) -> None:
        self.done, self._losses = done, list[torch.Tensor]()
        # One device a process: with more, Trainer multiplies the batch, and the data would not be those of the step.
        args._n_gpu = min(1, args.n_gpu)  # before Trainer reads the size of its batches from it
        self.penalty, self.view = penalty, view  # what shards weights is set up, and refused, in the next line
        super().__init__(args=args, **kwargs)
        self.teacher = None if teacher is None else teacher.to(self.args.device).eval().requires_grad_(False)
        self.model_accepts_loss_kwargs = False

    def create_accelerator_and_postprocess(self) -> None:
        """Set up what runs the training, and refuse what would give a penalty parts of weights.

        Raises:
            SpecError: a penalty under FSDP or DeepSpeed.
        """
        super().create_accelerator_and_postprocess()
        if self.penalty is not None and (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            raise SpecError("a penalty needs whole weights: FSDP and ZeRO-3 shard them, and a shard has no group norms")

    @property
    def losses(self) -> torch.Tensor:
        """The loss of each step so far, fp32 of shape ``(steps,)``, on the CPU; in all processes the same."""
        if not self._losses:
            return torch.zeros(0)
        found = torch.stack(self._losses).float().reshape(-1, self.args.gradient_accumulation_steps).sum(dim=1)
        return self.accelerator.reduce(found, reduction="mean").cpu()

    def agree(self, well: bool) -> bool:
        """Return whether all processes say so; returns when all have called it."""
        said = torch.tensor(float(well), device=self.args.device)
        return bool(self.accelerator.reduce(said, reduction="mean") == 1)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], Any]:
        """Return the micro-batches of a step, and how many tokens they all have in all processes; None for one part."""
        parts, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if len(parts) * self.accelerator.num_processes == 1:
            return parts, None
        tokens = torch.stack([(part["labels"] != IGNORED_LABEL).sum() for part in parts]).sum().to(device)
        return parts, self.accelerator.gather(tokens).sum()

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Pass a micro-batch forward and backward, and keep what it adds to the loss of its step."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._losses.append(loss.detach())
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Tell the trackers, counting the steps of an earlier process."""
        self.state.global_step += self.done
        try:
            super().log(logs, start_time)
        finally:
            self.state.global_step -= self.done

    def _weight(self, labels: torch.Tensor, tokens: Any) -> Any:
        """Return what a part's mean is multiplied by: its share of the tokens, times the parts that are averaged."""
        parts = self.current_gradient_accumulation_steps * self.accelerator.num_processes
        return (labels != IGNORED_LABEL).sum() / tokens * parts

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
        loss, outputs = super().compute_loss(model, inputs, True)
        if self.teacher is not None:
            with torch.no_grad(), self.accelerator.autocast():  # the passes' precision is the teacher's too
                taught = self.teacher(**inputs).logits
            loss = loss + KD_WEIGHT * distillation(outputs.logits, taught, inputs["labels"])
        if num_items_in_batch is not None:
            loss = loss * self._weight(inputs["labels"], num_items_in_batch)
        if penalty is not None:
            loss = loss + penalty
        return (loss, outputs) if return_outputs else loss


@contextmanager
def as_told(model: Any, recipe: Training) -> Iterator[None]:
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
