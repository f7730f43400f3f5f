"""Audio that is in two splits: what a model was trained on is no test of it."""

from __future__ import annotations

from benchmark.api import Split


def shared(train: Split, test: Split) -> int:
    """Return how many utterances of ``test`` have audio that is in ``train`` too, whatever they are called there.

    Audio is equal when its bytes are: the same speech in another format or cut otherwise is not found. A split that
    knows no ``digests`` of its audio shares none.
    """
    known = set(train.digests)
    return sum(digest in known for digest in test.digests)
