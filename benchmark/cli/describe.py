"""``prunebench describe KIND NAME``: the card of a plug-in and its options."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli._plugins import PLURALS, about, card, kind_of
from benchmark.registry import REGISTRY
from benchmark.search import parameters

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from benchmark.text.rules import TextRule

_RANGES = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "multiple of"}


def describe(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=" | ".join(PLURALS))],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, as `prunebench ls` lists it.")],
) -> None:
    """Show what a plug-in does, its options with defaults and ranges, and a normaliser's rules.

    Under "in a study" stands what `prunebench study` tries of an option.
    """
    which = kind_of(kind)
    plugin = REGISTRY.lookup(which, name)
    facts = about(which, name)
    print(f"{which} {name}" + (f", version {facts['version']}" if facts["version"] else ""))
    print()
    print(card(plugin))
    print()
    for key, value in facts.items():
        if key not in ("name", "version", "summary") and value not in (None, []):
            print(f"{key}: {_text(value)}")
        elif key == "languages":
            print("languages: none, it is chosen by its name")
    rules: tuple[TextRule, ...] = getattr(plugin, "program", ()) if which == "normalizer" else ()
    config = getattr(plugin, "Config", None)
    if config is not None:
        switches = {rule.name for rule in rules}
        fields = {name: field for name, field in config.model_fields.items() if name not in switches}
        _print_options(list(_options(fields)), _searched(config), bool(rules))
    if rules:
        _print_rules(name, rules)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)


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


def _searched(config: type[BaseModel]) -> dict[str, str]:
    """Return what a study turns of each option that carries a range; some only where the study names them."""
    return {one.name: one.range if one.usual else f"if named: {one.range}" for one in parameters(config)}


def _print_options(rows: list[tuple[str, str, str, str]], searched: dict[str, str], has_rules: bool) -> None:
    if not rows:
        print("options: a switch for each rule" if has_rules else "options: none")
        return
    from benchmark.cli._tables import print_table

    print()
    if searched:  # no column of nothing where no option has a range
        ranged = [(name, kind, default, searched.get(name, ""), what) for name, kind, default, what in rows]
        print_table(("option", "type", "default", "in a study", "what"), ranged, whole=("option",))
    else:
        print_table(("option", "type", "default", "what"), rows, whole=("option",))


def _print_rules(name: str, rules: tuple[TextRule, ...]) -> None:
    """Print what each rule of a normaliser folds and why, with two texts that it makes equal."""
    from benchmark.cli._tables import print_table

    print()
    print(f"Its rules in their order. Each is a switch, e.g. --normalizer {name}[{_switched(rules[0])}].")
    print("What is right by judgement is a decision about the language, whose merges `prunebench audit` samples.")
    print()
    rows = [
        (
            rule.name,
            "on" if rule.default else "off",
            "judgement" if rule.judged else "construction",
            rule.what,
            " = ".join(_visible(*rule.example)),
        )
        for rule in rules
    ]
    print_table(("rule", "default", "right by", "what it folds, and why", "these become equal"), rows, whole=("rule",))


def _switched(rule: TextRule) -> str:
    return f"{rule.name}={'off' if rule.default else 'on'}"


def _visible(one: str, other: str) -> tuple[str, str]:
    """Return two texts quoted, with escapes where the eye would see no difference: spaces, joiners, encodings."""
    if unicodedata.normalize("NFD", one) == unicodedata.normalize("NFD", other):
        one, other = (_escaped(text, beside) for text, beside in ((one, other), (other, one)))
        return f"'{one}'", f"'{other}'"
    return repr(one), repr(other)


def _escaped(text: str, other: str) -> str:
    """Escape the characters that ``other`` lacks."""
    return "".join(char if char in other else char.encode("ascii", "backslashreplace").decode() for char in text)


@REGISTRY.register("verb", "describe")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("describe")(describe)
