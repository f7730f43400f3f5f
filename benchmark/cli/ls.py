"""``prunebench ls KIND``: what can be named in a spec."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from benchmark.cli._plugins import PLURALS, about, kind_of
from benchmark.registry import REGISTRY


def ls(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=" | ".join(PLURALS))],
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """List plug-ins: methods, normalizers, corpora, models or reports.

    A name that two plug-ins claim is nobody's; it is named on stderr, and the exit code is 1.
    """
    which = kind_of(kind)
    rows = [about(which, name) for name, _ in REGISTRY.plugins(which)]
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        _print(rows)
    clashes = REGISTRY.clashes(which)
    for clash in clashes:
        print(f"prunebench: error: {clash}", file=sys.stderr)
    if clashes:
        raise typer.Exit(1)


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
