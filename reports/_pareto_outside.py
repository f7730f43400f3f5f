"""Other papers' published numbers: marked points beside ours, never joined to a front and never part of one.

A file of them is YAML, a list under ``published``::

    published:
      - source: arXiv:0000.00000    # where it is published
        name: Short et al.          # written beside the point
        data: LibriSpeech test-other    # as the paper has it
        claim: one line in words
        model: openai/whisper-small
        corpus: fleurs              # our name of the same corpus
        language: en
        error: 10.2                 # per cent, in the unit of the board; without it nothing can be drawn
        costs: {params_stored: 377000000}   # by the columns of the frame; latency in ms a second of audio

What the source does not give is left out, but for source, name, data and claim. A point is drawn on a board of the same
model, corpus and language only, unless more is asked for: other data, another point of departure and another way to
decode make another number.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from benchmark.api import Frozen
from benchmark.errors import SpecError
from reports import _pareto_data as data

OURS = Path(__file__).parent / "published.yaml"
"""What comes with the project."""


class Outside(Frozen):
    """One published result."""

    source: str
    name: str
    data: str
    claim: str
    model: str | None = None
    corpus: str | None = None
    language: str | None = None
    error: float | None = Field(default=None, ge=0, description="per cent")
    costs: dict[str, float] = Field(default_factory=dict)

    def cost(self, column: str) -> float | None:
        """Return what it costs by a column, or None where the source does not say it."""
        return self.costs.get(column)

    @property
    def short(self) -> str:
        """Return what is written beside its point."""
        return f"{self.name} ({self.source})"


class _File(Frozen):
    published: list[Outside]


def published(path: Path = OURS) -> list[Outside]:
    """Return what a file holds.

    Raises:
        SpecError: no such file, no YAML, or an entry that is not as described above.
    """
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}); give a file of published results") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: no YAML ({' '.join(str(error).split())}); mend the file") from error
    if not isinstance(found, dict):
        raise SpecError(f"{path}: holds no 'published'; mend the file")
    held: list[Outside] = _File.parse(found, where=str(path)).published
    for one in held:
        unknown = sorted(set(one.costs) - set(data.COSTS))
        if unknown:
            raise SpecError(f"{path}: {one.source} has a cost {unknown[0]!r}; known are {', '.join(data.COSTS)}")
    return held


def belonging(chart: data.Chart, found: Sequence[Outside], everywhere: bool = False) -> list[Outside]:
    """Return what may be drawn on a board: what is of the same model and data, or everything that has an error rate."""
    ours = (chart.model, chart.corpus, chart.language)
    return [
        one for one in found if one.error is not None and (everywhere or (one.model, one.corpus, one.language) == ours)
    ]
