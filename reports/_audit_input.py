"""What ``prunebench audit`` reads: a text file, a corpus, a word list of wordfreq, a file of pairs."""

from __future__ import annotations

from pathlib import Path

from benchmark.errors import DataError
from benchmark.registry import REGISTRY

_WORDFREQ = "wordfreq:"


def read_texts(source: str) -> list[str]:
    """Return the utterances or words of a file, a corpus or wordfreq's list of a language.

    Raises:
        DataError: there is no such file or corpus, it is not UTF-8, or holds nothing.
    """
    if source.startswith(_WORDFREQ):
        return _wordfreq(source.removeprefix(_WORDFREQ))
    path = Path(source)
    if not path.exists() and source in REGISTRY.names("corpus"):
        corpus = REGISTRY.get("corpus", source)
        return [text for split in corpus.splits for text in corpus.texts(split)]
    return _lines(path)


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); convert it: iconv -t UTF-8 {path}") from None
    except OSError as error:
        known = ", ".join(REGISTRY.names("corpus"))
        raise DataError(f"{path}: cannot be read ({error.strerror}); give a text file, or a corpus: {known}") from None
    if not any(line.strip() for line in lines):
        raise DataError(f"{path}: holds no text")
    return lines


def _wordfreq(language: str) -> list[str]:
    try:
        import wordfreq
    except ImportError:
        raise DataError(f"{_WORDFREQ}{language}: needs the package wordfreq: pip install wordfreq") from None
    try:
        return list(wordfreq.get_frequency_dict(language, wordlist="best"))
    except (LookupError, ValueError):  # no such list, or no tag of a language
        known = ", ".join(sorted(wordfreq.available_languages()))
        raise DataError(f"{_WORDFREQ}{language}: wordfreq has no such list; it has {known}") from None


def read_pairs(path: Path | None) -> list[tuple[str, str, str, str]]:
    """Return (left, right, relation, rule) of a TSV; lines beginning with # are remarks.

    Raises:
        DataError: the file cannot be used.
    """
    if path is None:
        return []
    found = []
    for number, line in enumerate(_lines(path), 1):
        if line.strip() and not line.startswith("#"):
            left, right, relation, rule, *_ = [*line.split("\t"), "", "", "", ""]
            if relation not in ("equal", "distinct"):
                raise DataError(f"{path}:{number}: the third column is equal or distinct, not {relation!r}")
            found.append((left, right, relation, rule or "-"))
    return found
