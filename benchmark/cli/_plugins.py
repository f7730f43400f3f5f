"""What ``ls`` and ``describe`` know of plug-ins: kinds by their plural, and cards."""

from __future__ import annotations

import inspect
from typing import Any

from benchmark.errors import SpecError, nearest
from benchmark.registry import REGISTRY

PLURALS = {
    "methods": "method",
    "normalizers": "normalizer",
    "corpora": "corpus",
    "models": "model",
    "reports": "report",
}


def kind_of(word: str) -> str:
    """Return the kind that a word names, singular or plural.

    Raises:
        SpecError: no such kind.
    """
    if word in PLURALS.values():
        return word
    if word not in PLURALS:
        raise SpecError(f"unknown kind {word!r}{nearest(word, PLURALS)}")
    return PLURALS[word]


def about(kind: str, name: str) -> dict[str, Any]:
    """Return what can be said of a plug-in in one line of a table."""
    plugin = REGISTRY.lookup(kind, name)
    facts: dict[str, Any] = {"name": name, "version": getattr(plugin, "version", None)}
    if kind == "method":
        facts["budgets"] = sorted(plugin.budgets)
    if kind == "normalizer":
        facts |= {"languages": list(plugin.languages), "unit": plugin.unit, "reference": plugin.reference}
    if kind == "corpus":
        language = getattr(plugin, "language", None)  # a property where an option decides it
        facts |= {
            "language": language if isinstance(language, str) else "by option",
            "splits": list(plugin.splits) if isinstance(plugin.splits, tuple) else [],
            "synthetic": plugin.synthetic,
        }
    return {**facts, "summary": card(plugin).partition("\n")[0], "owner": REGISTRY.owner(kind, name)}


def card(plugin: Any) -> str:
    """Return the plug-in's description without the indentation of its source."""
    text = plugin.card() if hasattr(plugin, "card") else plugin.__doc__ or ""
    return inspect.cleandoc(text)
