"""``prunebench ls KIND``: what can be named in a spec."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from benchmark.cli._plugins import PLURALS, about, kind_of
from benchmark.registry import REGISTRY


def ls(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=" | ".join(PLURALS))],
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """List plug-ins: methods, normalizers, corpora, models or reports."""
    which = kind_of(kind)
    rows = [about(which, name) for name in REGISTRY.names(which)]
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    _print(rows)


def _print(rows: list[dict[str, Any]]) -> None:
    from benchmark.cli._tables import print_table

    if not rows:
        print("none")
        return
    shown = [key for key in rows[0] if key not in ("owner", "reference", "splits")]
    print_table(shown, ([_text(row[key]) for key in shown] for row in rows), whole=("name", "version"))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)


@REGISTRY.register("verb", "ls")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("ls")(ls)
