"""One thread for torch: models of a test are so small that a second one costs more than it gives.

And what is there when a module begins is not looked through for garbage any more: before each Fit accelerate asks for
a whole collection, which would take 0.3 s for what was imported alone, longer than the Fit itself.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

from tests.postgres import database, postgres  # noqa: F401  (fixtures)

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; tests' own processes inherit it


@pytest.fixture(scope="module", autouse=True)
def _no_old_garbage() -> None:
    gc.collect()
    gc.freeze()


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide a GPU, where there is one."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Hold a module to one thread whatever the environment says: equality to the bit is promised at equal threads."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
