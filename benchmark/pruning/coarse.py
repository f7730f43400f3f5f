"""Rules of whole layers and of the vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from benchmark.api import Rule
from benchmark.errors import SpecError

if TYPE_CHECKING:
    import torch

    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Group, Structure
    from benchmark.whisper.view import View


class KeepLayers(Rule):
    """Keep some layers of each stack, evenly spaced, the first and the last among them (Distil-Whisper, 2311.00430).

    Without a budget, ``encoder`` and ``decoder`` say how many (None: all). With a stored budget the depth of the
    ``stacks`` named is chosen: the nearest to it, and of equals the one that cuts both stacks most alike.
    """

    encoder: int | None = Field(default=None, ge=1)
    decoder: int | None = Field(default=None, ge=1)
    stacks: tuple[Literal["encoder", "decoder"], ...] = Field(default=("encoder", "decoder"), min_length=1)

    def smallest(self, structure: Structure) -> int:
        """Return the weights of the lightest layer that may go."""
        return min(group.weights for group in structure.stacks if group.stack in self.stacks)

    def decide(self, view: View) -> Plan:
        """Count and space the layers.

        Raises:
            SpecError: more layers asked for than there are.
        """
        from benchmark.whisper.plan import Plan

        stacks: dict[str, Group] = {group.stack: group for group in view.structure.stacks}
        depths = self._given(stacks) if self.budget.keep is None else self._fitting(view.structure, self.budget.keep)
        return Plan({stacks[stack].key: spaced(stacks[stack].count, depth) for stack, depth in depths.items()})

    def _given(self, stacks: dict[str, Group]) -> dict[str, int]:
        depths = {}
        for stack, asked in (("encoder", self.encoder), ("decoder", self.decoder)):
            if asked is not None and asked > stacks[stack].count:
                raise SpecError(f"{stack} = {asked}: this model's {stack} has {stacks[stack].count} layers")
            depths[stack] = asked or stacks[stack].count
        return depths

    def _fitting(self, structure: Structure, keep: float) -> dict[str, int]:
        import torch

        depths = [torch.arange(1 if g.stack in self.stacks else g.count, g.count + 1) for g in structure.stacks]
        choices = torch.cartesian_prod(*depths)
        counts = torch.tensor([group.count for group in structure.stacks])
        weights = torch.tensor([group.weights for group in structure.stacks])
        share = (choices * weights).sum(dim=1) / structure.prunable
        uneven = ((choices / counts) - (choices / counts).mean(dim=1, keepdim=True)).abs().sum(dim=1)
        best = choices[((share - keep).abs() + 1e-6 * uneven).argmin()]
        return {group.stack: int(depth) for group, depth in zip(structure.stacks, best, strict=True)}


def spaced(count: int, depth: int) -> torch.Tensor:
    """Return ``depth`` of ``count`` layer indices, evenly spaced from the first to the last (one: the first)."""
    import torch

    return torch.linspace(0, count - 1, depth).round().long() if depth > 1 else torch.zeros(1, dtype=torch.long)


class KeepTokens(Rule):
    """Keep the tokens that the training transcripts use, and what the tokenizer needs to stay sound.

    Kept besides: special tokens, single bytes (so that any text can still be written), single letters of the scripts
    that the transcripts are written in (``letters``), and the parts of every kept token's merges. The time stamps go
    unless ``timestamps``: a model without them transcribes single windows only.
    """

    min_count: int = Field(default=1, ge=1)
    letters: bool = True
    timestamps: bool = True

    def decide(self, view: View) -> Plan:
        """Collect the tokens and close them under merges."""
        from benchmark.whisper.plan import Plan

        group = view.structure.tokens
        if group is None:
            raise SpecError("this structure knows no vocabulary")
        table = {name: view.statistic("tokens", name) for name in ("counts", "required", "letters", "timestamps")}
        kept = (table["counts"] >= self.min_count) | table["required"]
        if self.letters:
            kept |= table["letters"]
        if not self.timestamps:
            kept &= ~table["timestamps"]
        merges = view.statistic("tokens", "merges")
        for _ in range(len(merges) + 1):  # a merge's parts are merges themselves: until nothing is new
            parts = merges[kept[merges[:, 0]]][:, 1:].flatten()
            if bool(kept[parts].all()):
                break
            kept[parts] = True
        return Plan({group.key: kept.nonzero().flatten()})
