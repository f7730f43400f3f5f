"""What happens between the steps of a Fit: the proximal step, the masks, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainerCallback

from benchmark.harness.checkpoints import Progressed, restore
from benchmark.harness.optimizer import counters_on_cpu_
from benchmark.whisper.masking import Masker

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""
Look = Callable[[int], bool]
"""Called with the steps done, after each but the last; whether the Fit ends here."""


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
