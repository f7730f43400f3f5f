"""Write what every built-in normaliser makes of one text, as hashes: `python -m tests.golden.write_normalizer_hashes`.

Run it after a normaliser was added, or after its version was raised because it behaves differently. It keeps hashes
of signatures that are there, and refuses to change one: the same signature must always mean the same text.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from benchmark.api import Normalizer
from benchmark.registry import REGISTRY

TEXT = Path(__file__).parents[1] / "data" / "normalizer_text.txt"
HASHES = Path(__file__).with_name("normalizer_hashes.json")
COMMAND = "python -m tests.golden.write_normalizer_hashes"


def built_in() -> list[str]:
    """Return the names of our own normalisers; installed plug-ins have tests of their own."""
    return [
        name for name in REGISTRY.names("normalizer") if REGISTRY.owner("normalizer", name).startswith("normalizers.")
    ]


def fingerprint(normalizer: Normalizer) -> str:
    """Return the SHA-256 of what a normaliser makes of the lines of the text."""
    lines = TEXT.read_text(encoding="utf-8").split("\n")
    return hashlib.sha256("\n".join(map(normalizer, lines)).encode("utf-8", "surrogatepass")).hexdigest()


def known() -> dict[str, str]:
    """Return the hashes by signature."""
    found: dict[str, str] = json.loads(HASHES.read_text(encoding="utf-8")) if HASHES.exists() else {}
    return found


def main(anew: bool) -> int:
    """Write the hashes of the present signatures; ``anew`` also where a hash changes (before a release only)."""
    old, new = known(), {}
    for name in built_in():
        normalizer = REGISTRY.get("normalizer", name)
        new[normalizer.signature()] = fingerprint(normalizer)
    changed = [signature for signature, value in new.items() if old.get(signature, value) != value]
    if changed and not anew:
        print(f"{', '.join(changed)}: behaves differently under the same signature; raise the version of its class")
        return 1
    HASHES.write_text(json.dumps(new, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{len(new)} hashes written to {HASHES}" + (f"; changed: {', '.join(changed)}" if changed else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main("--anew" in sys.argv[1:]))
