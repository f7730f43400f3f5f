"""From the text a user writes to a normaliser: by name with options, or by language. No torch.

The text is what a signature says: ``hindi``, ``hindi[nasal=off,case=off]``, ``hindi:1[nasal=off]``. ``auto`` stands for
the normaliser of each corpus' own language. Nothing falls back to a normaliser that was not asked for.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from benchmark.api import Normalizer
from benchmark.errors import PrunebenchError, SpecError, nearest
from benchmark.registry import REGISTRY

AUTO = "auto"
"""The choice of each corpus' own language."""

_FORM = re.compile(r"(?P<name>[^\s\[\]:,=]+)(?::(?P<version>[^\[\]:,=]*))?(?:\[(?P<options>.*)\])?", re.DOTALL)
_NEXT_OPTION = re.compile(r",\s*(?=\w+\s*=)")  # a value may hold commas itself
_HOW = "write NAME or NAME[option=value,...], e.g. hindi[nasal=off]"


def chosen(text: str) -> Normalizer:
    """Return the normaliser that a text names; equal texts give the same instance, which remembers its words.

    Args:
        text: a name, or what ``signature()`` says: name, version (optional) and options in brackets.

    Raises:
        SpecError: no such name or option (the nearest is suggested), a value that does not fit, or another version.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise SpecError(f"normalizer {text!r}: cannot be read; {_HOW}")
    name, version, options = match["name"], match["version"], match["options"]
    if name == AUTO:
        raise SpecError(f"normalizer {text!r}: {AUTO} takes its language from a corpus, and stands alone; {_HOW}")
    plugin = REGISTRY.lookup("normalizer", name)
    if version is not None and version != plugin.version:
        raise SpecError(
            f"normalizer {text!r}: version {version} was asked for, and this is version {plugin.version}; "
            f"write {name} for this one, or install what has the other"
        )
    return _made(plugin, name, tuple(_pairs(text, options or "")))


def for_language(code: str) -> Normalizer:
    """Return the normaliser of a language: the one of ours that names it, else the one reference that does.

    Args:
        code: Whisper's language code, e.g. ``hi``.

    Raises:
        SpecError: no normaliser names the language, or several do.
    """
    ours: list[str] = []
    references: list[str] = []
    clashes: list[str] = []
    for name in REGISTRY.names("normalizer"):
        try:
            plugin = REGISTRY.lookup("normalizer", name)
        except SpecError as error:  # a name with two owners stands in nobody's way, unless it is the only one
            clashes.append(str(error))
            continue
        if code in plugin.languages:
            (references if plugin.reference else ours).append(name)
    found = ours or references
    if not found:
        known = f" ({'; '.join(clashes)})" if clashes else ""
        raise SpecError(
            f"no normalizer for language {code!r}{known}: choose one yourself, e.g. --normalizer default (the rules of "
            "all scripts), or add one: prunebench new normalizer NAME, see docs/add-a-language.md"
        )
    if len(found) > 1:
        raise SpecError(f"language {code!r} has several normalizers ({', '.join(found)}); choose one with --normalizer")
    return chosen(found[0])


def resolve(text: str, language: str) -> Normalizer:
    """Return what a text names for a corpus of that language; ``auto`` is the language's own.

    Raises:
        SpecError: as ``chosen`` and ``for_language``.
    """
    return for_language(language) if text.strip() == AUTO else chosen(text)


def several(text: str) -> list[str]:
    """Return the parts of ``hindi[nasal=off,case=off],whisper_basic``: commas inside brackets part nothing.

    Raises:
        SpecError: a part is empty, or is named twice.
    """
    parts, depth = [""], 0
    for char in text:
        depth += (char == "[") - (char == "]")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    found = [part.strip() for part in parts]
    for part in found:
        if not part:
            raise SpecError(f"normalizer {text!r}: an empty name; {_HOW}, with commas between several")
        if found.count(part) > 1:
            raise SpecError(f"normalizer {text!r}: {part} is named twice")
    return found


def checked(text: str, *languages: str) -> list[str]:
    """Return the parts of a text, each seen to name a normaliser; ``auto`` is looked up for ``languages``.

    Raises:
        SpecError: as ``several``, ``chosen`` and ``for_language``.
    """
    parts = several(text)
    for part in parts:
        if part != AUTO:
            chosen(part)
        else:
            for language in languages:
                for_language(language)
    return parts


def _pairs(text: str, options: str) -> Iterator[tuple[str, str]]:
    seen = set()
    for part in _NEXT_OPTION.split(options) if options.strip() else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key:
            raise SpecError(f"normalizer {text!r}: {part.strip()!r} is no option; {_HOW}")
        if key in seen:
            raise SpecError(f"normalizer {text!r}: option {key} is set twice")
        seen.add(key)
        yield key, value


@lru_cache(maxsize=128)
def _made(plugin: type[Normalizer], name: str, options: tuple[tuple[str, str], ...]) -> Normalizer:
    fields = plugin.Config.model_fields
    for key, _ in options:
        if key not in fields:
            raise SpecError(f"normalizer {name!r} has no option {key!r}{nearest(key, fields) or '; it has none'}")
    values = {key: _value(f"{name}[{key}={value}]", fields[key], value) for key, value in options}
    try:
        return plugin(**values)
    except PrunebenchError:
        raise
    except (Exception, SystemExit) as error:  # a plug-in's fault, whatever it is, must name the plug-in
        owner = f"{plugin.__module__}.{plugin.__qualname__}"
        raise SpecError(f"normalizer {name!r} ({owner}) cannot be made: {type(error).__name__}: {error}") from error


def _value(where: str, field: FieldInfo, text: str) -> Any:
    """Read a value as the option's type reads it: as a word (on, off, true, false are bools), else as a literal."""
    read: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
    candidates: list[Any] = [text.lower() if text.lower() in ("on", "off", "true", "false") else text, text]
    try:
        literal = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        pass  # a word
    else:
        candidates.insert(0 if literal is None else len(candidates), literal)
    fault = ""
    for candidate in candidates:
        try:
            return read.validate_python(candidate)
        except ValidationError as error:
            fault = fault or str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
    raise SpecError(f"normalizer {where}: {fault}")
