"""Only the tokens that a language needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from benchmark.api import Budget, Calibrate, Finisher, MethodConfig, Prune, Step
from benchmark.pruning.coarse import KeepTokens
from benchmark.registry import REGISTRY
from benchmark.search import Search


class VocabTrimConfig(MethodConfig):
    """Which tokens stay besides those that are needed anyway."""

    min_count: Annotated[int, Search(1, 20, usual=False)] = Field(
        default=1, ge=1, description="keep tokens that stand at least so often in the transcripts"
    )
    letters: Annotated[bool, Search(usual=False)] = Field(
        default=True, description="keep all single letters of the scripts of the transcripts"
    )
    timestamps: Annotated[bool, Search(usual=False)] = Field(
        default=True, description="keep time stamps; long recordings cannot do without"
    )


@REGISTRY.register("method", "vocab_trim")
class VocabTrim(Finisher):
    """Rows of the tied embedding go whose tokens do not occur in the training transcripts; the tokenizer follows.

    On small Whispers the embedding is a quarter to half of all parameters. Kept are: tokens of the transcripts, special
    tokens, single bytes (any text can still be written), letters of the same scripts, and the parts of their merges;
    ids are renumbered in tokenizer, config and generation config. After all training, and nothing is learned for it.
    No prunable weight is removed: the row's own operating point, as saved.

    Source: no paper; known from multilingual text models. Cost: the training that all rows get, and a count of the
    tokens of the transcripts. Removes: rows of the tied embedding.
    """

    Config = VocabTrimConfig
    budgets = frozenset({"none"})

    def finish(self, budget: Budget) -> Iterator[Step]:
        """Count tokens, keep what is needed."""
        config: VocabTrimConfig = self.config
        yield Calibrate(utterances=1, statistics=("tokens",))
        yield Prune(rule=KeepTokens(**config.model_dump(include={"min_count", "letters", "timestamps"})))
