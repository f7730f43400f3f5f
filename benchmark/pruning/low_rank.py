"""Linear layers as two factors, by the principal components of what they put out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from benchmark.api import Rule
from benchmark.errors import SpecError

if TYPE_CHECKING:
    import torch

    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Matrix, Structure
    from benchmark.whisper.view import View

BISECTIONS = 60
LARGE = 512
"""Outputs (or inputs) above which spectra are taken in single precision."""


class LowRank(Rule):
    """Replace a Linear layer by two factors where that stores fewer weights (the LiteASR idea, arXiv 2502.20583).

    With outputs ``y = W x + b`` over the calibration set, mean ``m`` and principal components ``U`` (the leading
    eigenvectors of their covariance), ``W`` becomes ``U U^T W`` and ``b`` becomes ``b + (I - U U^T) W mean(x)``: the
    best approximation of the outputs at that rank. The rank of each matrix is the smallest that keeps ``energy`` of
    its outputs' variance; with a stored budget, one threshold on the normalised eigenvalues of all matrices meets it.
    """

    energy: float = Field(default=0.99, gt=0, le=1)
    stacks: tuple[Literal["encoder", "decoder"], ...] = Field(default=("encoder", "decoder"), min_length=1)

    def smallest(self, structure: Structure) -> int:
        """Return the weights of one rank of the smallest matrix."""
        return min(sum(matrix.shape) for matrix in structure.matrices)

    def decide(self, view: View) -> Plan:
        """Choose ranks; matrices that would not get smaller stay whole.

        Raises:
            SpecError: the statistic is missing, the budget cannot be met, or a matrix holds single pruned weights.
        """
        from benchmark.whisper.plan import Plan

        spectra = {matrix.name: self._shares(view, matrix) for matrix in self._matrices(view)}
        if self.budget.keep is None:
            return Plan(ranks=self._useful(view, {n: _reaching(values, self.energy) for n, values in spectra.items()}))
        target = self.budget.keep * view.structure.prunable
        low, high = 0.0, 1.0
        ranks: dict[str, int] = {}
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            # An eigenvalue's share of its matrix' variance, on a scale on which thresholds spread evenly.
            found = {name: max(1, int((values > middle**4).sum())) for name, values in spectra.items()}
            ranks = self._useful(view, found)
            if view.plan.then(Plan(ranks=ranks)).stored(view.structure) > target:
                low = middle
            else:
                high = middle
        return Plan(ranks=ranks)

    def rewrite(self, view: View, plan: Plan) -> Mapping[str, torch.Tensor]:
        """Return the projected weights and the biases that carry the mean of what is left out."""
        values: dict[str, torch.Tensor] = {}
        for name, rank in plan.ranks.items():
            matrix = view.structure.matrix(name)
            basis = self._components(view, matrix, rank)
            weight = view.weight(matrix).cpu().double() * view.mask(matrix).cpu()
            projected = basis @ (basis.T @ weight)
            values[name] = projected.float()
            bias = view.bias(matrix)
            if bias is not None:  # a constant added to keys changes no attention: k needs none
                mean = view.statistic("input_covariance", f"{name}:mean")
                values[f"{matrix.module}.bias"] = (bias.cpu().double() + (weight - projected) @ mean).float()
        return values

    def _matrices(self, view: View) -> list[Matrix]:
        found = [m for m in view.structure.matrices if m.stack in self.stacks and view.plan.has(m)]
        for matrix in found:
            if matrix.name in view.plan.masks or matrix.name in view.plan.columns:
                raise SpecError(
                    f"low rank: {matrix.name} holds single pruned weights or columns, which factors would fill up; "
                    "combine it with methods that remove heads, neurons, layers or tokens only"
                )
        return found

    def _useful(self, view: View, ranks: dict[str, int]) -> dict[str, int]:
        """Drop ranks at which two factors are no smaller than the matrix, as it stands under the plan so far."""
        shapes = {name: view.plan.shape(view.structure.matrix(name)) for name in ranks}
        return {n: r for n, r in ranks.items() if r * sum(shapes[n]) < shapes[n][0] * shapes[n][1]}

    def _shares(self, view: View, matrix: Matrix) -> torch.Tensor:
        """Return the shares of variance of a layer's outputs along their principal components, descending."""
        import torch

        gram = self._gram(view, matrix)[0]
        # Single precision is twice as fast, and knows shares down to some 1e-7 of the largest.
        values = torch.linalg.eigvalsh(gram.float() if len(gram) > LARGE else gram).double().clamp_min(0).flip(0)
        return values / values.sum().clamp_min(1e-300)

    def _components(self, view: View, matrix: Matrix, rank: int) -> torch.Tensor:
        """Return the leading principal components of a layer's outputs, shape ``(out, rank)``, orthonormal."""
        import torch

        gram, lift = self._gram(view, matrix)
        vectors = torch.linalg.eigh(gram.float() if len(gram) > LARGE else gram).eigenvectors.double()
        leading = vectors.flip(1)[:, :rank]
        return leading if lift is None else torch.linalg.qr(lift @ leading).Q

    def _gram(self, view: View, matrix: Matrix) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return a matrix with the eigenvalues of the outputs' covariance, and what maps its vectors to outputs.

        ``W C W^T`` and ``C^(1/2) W^T W C^(1/2)`` have the same eigenvalues; the smaller one is taken apart. None: its
        vectors are the outputs' own.
        """
        import torch

        weight = view.weight(matrix).cpu().double() * view.mask(matrix).cpu()
        mean = view.statistic("input_covariance", f"{matrix.name}:mean")
        covariance = view.statistic("input_covariance", matrix.name) - torch.outer(mean, mean)
        if matrix.shape[0] <= matrix.shape[1]:
            return weight @ covariance @ weight.T, None
        scale, basis = torch.linalg.eigh(covariance)
        lift = weight @ (basis * scale.clamp_min(0).sqrt())
        return lift.T @ lift, lift


def _reaching(shares: torch.Tensor, energy: float) -> int:
    """Return the smallest number of leading shares that sum to ``energy``."""
    return min(int((shares.cumsum(0) < energy - 1e-12).sum()) + 1, len(shares))
