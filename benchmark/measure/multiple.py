"""Many tests at once: p-values corrected for their number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p: np.ndarray | Sequence[float]) -> np.ndarray:
    """Return p-values corrected for their number by Holm's step-down method (1979), in the order given.

    NaN was not tested: it stays, and does not count. Shapes ``(N,)``.
    """
    values = np.asarray(p, float)
    order = np.argsort(values, kind="stable")
    count = int(np.isfinite(values).sum())  # NaN is sorted to the end
    stepped = np.maximum.accumulate(values[order] * np.arange(count, count - len(values), -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(stepped, 1)
    return corrected
