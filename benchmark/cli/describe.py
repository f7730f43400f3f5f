"""``prunebench describe KIND NAME``: the card of a plug-in and its options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli._plugins import PLURALS, about, card, kind_of
from benchmark.registry import REGISTRY

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_RANGES = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "multiple of"}


def describe(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=" | ".join(PLURALS))],
    name: Annotated[str, typer.Argument(metavar="NAME")],
) -> None:
    """Show what a plug-in does, its options with defaults and ranges, and a normaliser's rules."""
    which = kind_of(kind)
    plugin = REGISTRY.lookup(which, name)
    facts = about(which, name)
    print(f"{which} {name}" + (f", version {facts['version']}" if facts["version"] else ""))
    print()
    print(card(plugin))
    print()
    for key, value in facts.items():
        if key not in ("name", "version", "summary") and value not in (None, []):
            print(f"{key}: {', '.join(value) if isinstance(value, list) else value}")
    config = getattr(plugin, "Config", None)
    if config is not None:
        _print_options(list(_options(config.model_fields)))
    rules = getattr(plugin, "program", ()) if which == "normalizer" else ()
    if rules:
        print()
    for rule in rules:
        _print_rule(rule)


def _options(fields: dict[str, FieldInfo]) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, type with range, default and description of each option."""
    for name, field in fields.items():
        limits = [
            f"{sign} {getattr(limit, key):g}"
            for limit in field.metadata
            for key, sign in _RANGES.items()
            if getattr(limit, key, None) is not None
        ]
        default = "required" if field.is_required() else repr(field.get_default(call_default_factory=True))
        yield name, " ".join([_type(field.annotation), *limits]), default, field.description or ""


def _type(annotation: Any) -> str:
    """Return a type as one would write it."""
    text = annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else None
    return text or str(annotation).replace("typing.", "")


def _print_options(rows: list[tuple[str, str, str, str]]) -> None:
    if not rows:
        print("options: none")
        return
    from benchmark.cli._tables import print_table

    print()
    print_table(("option", "type", "default", "what"), rows, whole=("option",))


def _print_rule(rule: Any) -> None:
    """Print one rule of a normaliser: its option, what it folds and why, and two texts that it makes equal."""
    one, other = rule.example
    print(f"rule {rule.name} ({'on' if rule.default else 'off'}): {rule.what}; {one!r} = {other!r}")


@REGISTRY.register("verb", "describe")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("describe")(describe)
