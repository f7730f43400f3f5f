"""Rules that look at activations or gradients as well as at weights: they need a Calibrate step before them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from benchmark.api import Rule
from benchmark.pruning.groups import GroupRule
from benchmark.pruning.weights import Scope, keep_best

if TYPE_CHECKING:
    import torch

    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Group
    from benchmark.whisper.view import View


class WandaWeights(Rule):
    """Keep the weights of the largest ``|w| * ||x||_2``, compared within each output (Sun et al. 2023, eq. 1).

    ``||x||_2`` is the norm of the weight's input over the calibration set. ``compare`` widens the comparison from the
    weights of one output (a row, that paper's choice) to a matrix or to the whole model.

    What stands for the norm is the root mean square of the input over its positions. Within a matrix, which sees the
    same number of positions throughout, the order is that of the norm. With ``compare: global`` it is not, on purpose:
    encoder positions (1500 a window) outnumber a transcript's tokens, and by the norm itself a matrix would stay
    because it is applied more often.
    """

    compare: Literal["output", "layer", "global"] = "output"

    def decide(self, view: View) -> Plan:
        """Rank by the product; with ``output``, by a weight's place in its row, so that rows differ by one at most."""
        import torch

        scores = []
        for matrix in view.structure.matrices:
            norm = view.statistic("input_square", matrix.name).sqrt().float()
            score = torch.where(view.mask(matrix).cpu(), view.weight(matrix).cpu().abs() * norm, -torch.inf)
            scores.append(_places(score) if self.compare == "output" else score)
        scope: Scope = "layer" if self.compare == "layer" else "global"
        return keep_best(view, scores, self.budget, scope, "WandaWeights")


def _places(score: torch.Tensor) -> torch.Tensor:
    """Return each entry's place in its row as a fraction, the best near 1; minus infinity stays."""
    import torch

    order = torch.sort(score, dim=1, stable=True, descending=True).indices
    place = torch.empty_like(score)
    steps = torch.arange(score.shape[1], 0, -1, dtype=score.dtype).expand_as(score) / score.shape[1]
    place.scatter_(1, order, steps)
    return torch.where(score > -torch.inf, place, score)


class TaylorGroups(GroupRule):
    """Keep the heads and neurons whose removal changes the loss most, to first order (Molchanov et al. 2019).

    A weight's change of the loss is ``g * w`` with the mean gradient of the calibration set. ``element`` sums
    ``|g * w|`` over a member; ``group`` takes ``|sum of g * w|``, the change when the member goes as a whole.
    """

    estimate: Literal["element", "group"] = "element"

    def scores(self, view: View, group: Group) -> torch.Tensor:
        """Return the estimated change of the loss per member, shape ``(group.count,)``."""
        import torch

        total = torch.zeros(group.count, dtype=torch.float64)
        for matrix in view.structure.matrices_of(group.key):
            change = view.weight(matrix).cpu() * view.statistic("gradient", matrix.name) * view.mask(matrix).cpu()
            change = change.abs() if self.estimate == "element" else change
            along = change.sum(dim=1 - matrix.axis, dtype=torch.float64)
            total += along.reshape(group.count, matrix.width).sum(dim=1)
        return total.abs()
