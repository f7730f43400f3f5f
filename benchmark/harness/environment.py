"""What equality of two runs depends on besides their spec: device, threads, versions, and the commit of this code."""

from __future__ import annotations

import functools
import json
import platform
import subprocess
from importlib.metadata import Distribution, PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmark import __version__
from benchmark.harness.bench import device

PACKAGES = ("torch", "transformers", "torch-pruning", "jiwer", "rapidfuzz", "ptflops", "numpy")
_SOURCE = Path(__file__).resolve().parents[2]


def environment() -> dict[str, Any]:
    """Return device, threads, versions and commit, as a record states them."""
    return {
        **here(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {"prunebench": __version__, **{name: version(name) for name in PACKAGES}},
    }


def here() -> dict[str, Any]:
    """Return device, threads and commit of this process: what a Fit's record says of it."""
    return {"device": device(), "threads": torch.get_num_threads(), "commit": commit()}


@functools.cache
def commit() -> str | None:
    """Return the commit this code was taken from, with ``-dirty`` where files differ from it.

    Told by git in a checkout, by pip's ``direct_url.json`` (PEP 610) for an installation from a repository; None for a
    plain wheel, whose version says it.
    """
    if (_SOURCE / ".git").exists():  # asked only of our own checkout: a wheel may be installed inside another one
        command = ["git", "-C", str(_SOURCE), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):  # no git here, or a checkout it refuses to read
            return None
    try:
        told = Distribution.from_name("prunebench").read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    return (json.loads(told).get("vcs_info") or {}).get("commit_id") if told else None
