"""``--help`` of every verb shows what its options say of themselves: nothing is taken for markup and lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from benchmark.cli.main import build, invoke

ESCAPED = re.compile(r"\\(?=\[)")
BORDER = re.compile("[│╭╰─╮╯]")


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command that is not hidden, with the words that call it."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            yield from commands(inner, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(build())))


def plain(text: str) -> str:
    return " ".join(text.split())


def written(said: str) -> str:
    """Return a help text as it is to be read: of a bracket that is no markup, the backslash is not shown."""
    return plain(ESCAPED.sub("", said))


def test_all_verbs_are_looked_at() -> None:
    assert {("leaderboard",), ("recommend",), ("study", "tune-all"), ("nano", "build")} <= set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "prunebench")
def test_nothing_that_an_option_says_is_lost(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")  # so that no text is broken into lines
    assert invoke([*path, "--help"]) == 0
    shown = plain(BORDER.sub(" ", capsys.readouterr().out))
    command = COMMANDS[path]
    assert written(command.help) in shown
    for parameter in command.params:
        assert parameter.help, f"{parameter.name} says nothing of itself"
        assert written(parameter.help) in shown
    for inner in getattr(command, "commands", {}).values():
        assert inner.hidden or written(inner.get_short_help_str(1000)).removesuffix(".") in shown
