"""SpecAugment of the training stream: what is hidden is a function of (seed, place in the stream) alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from benchmark.errors import SpecError
from benchmark.harness.batches import Hide
from benchmark.harness.seeds import derive
from benchmark.specs import SpecAugment

STRETCHES = 2
"""Stretches of time that are hidden at least: ``mask_time_min_masks`` of transformers' WhisperConfig."""


def hiding(recipe: SpecAugment | None, shape: Sequence[int], *, seed: int, first: int) -> Hide | None:
    """Return what hides parts of the features of a Fit whose first item is item ``first`` of its path.

    transformers would draw inside Whisper's forward (``config.apply_spec_augment``), from numpy's global generator and
    once a micro-batch: what is hidden would depend on accumulation, processes and whatever was drawn before. Its
    stretches are drawn here, per utterance; they are the same for every cell that comes to that path step.

    Args:
        recipe: shares and lengths; where it hides nothing, and for None, None is returned.
        shape: of the features of an utterance: ``(mels, frames)``.
        seed: of the repetition.
        first: path items before this Fit.

    Raises:
        SpecError: a stretch or band is longer than what there is.
    """
    recipe = recipe and recipe.meant()
    if recipe is None:
        return None
    for name, length, room in (("time", recipe.time_length, shape[1]), ("feature", recipe.feature_length, shape[0])):
        if getattr(recipe, name) > 0 and length > room:
            raise SpecError(
                f"training.spec_augment.{name}_length = {length}: the features have {room} of them; give at most that"
            )
    return partial(_hidden, recipe=recipe, seed=seed, first=first)


def _hidden(features: np.ndarray, index: int, *, recipe: SpecAugment, seed: int, first: int) -> np.ndarray:
    """Return a copy of the features, shape ``(mels, frames)``, with parts of it at zero, the mean of Whisper's."""
    draw = np.random.default_rng(derive(seed, "augment", first + index))
    heard = np.array(features)
    if recipe.time > 0:
        heard[:, covered(heard.shape[1], recipe.time, recipe.time_length, draw, at_least=STRETCHES)] = 0
    if recipe.feature > 0:
        heard[covered(heard.shape[0], recipe.feature, recipe.feature_length, draw)] = 0
    return heard


def covered(room: int, share: float, length: int, draw: np.random.Generator, at_least: int = 0) -> np.ndarray:
    """Return which of ``room`` places are hidden, bool of shape ``(room,)``.

    Stretches of ``length`` begin at different places and may overlap: as often as they do, less than ``share`` is
    hidden in the mean. Their number is ``share * room / length``, rounded up or down at random such that it is right in
    the mean, and ``at_least`` that many, as in transformers' ``_compute_mask_indices``, which draws from the global
    generator and cannot be given another.
    """
    count = max(int(share * room / length + draw.random()), at_least)
    count = min(count, room // length)
    starts = draw.choice(room - length + 1, size=count, replace=False)
    hidden = np.zeros(room, dtype=bool)
    hidden[starts[:, None] + np.arange(length)] = True
    return hidden
