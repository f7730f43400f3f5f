"""One thread for torch: models of a test are so small that a second one costs more than it gives."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; tests' own processes inherit it
