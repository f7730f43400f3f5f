"""Errors a user can act on: one line that says what is wrong, where, and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PrunebenchError(Exception):
    """Base of every error that the command line prints as one line with exit code 2."""


class SpecError(PrunebenchError):
    """A spec, an option or a name that cannot be used as given."""


class DataError(PrunebenchError):
    """A corpus, an audio file or a model folder that cannot be read."""


class StoreError(PrunebenchError):
    """A run folder or a record that cannot be read or written."""


class NothingToReportError(StoreError):
    """A report that has nothing to show of these records: passed over, unless it was asked for by name."""


class BudgetMissedError(PrunebenchError):
    """A method did not reach its budget within the tolerance."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest known name, or the list of known names."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""
