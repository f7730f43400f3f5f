"""Error rates from transcripts: counts per utterance first, sums of counts after, a rate last. No torch.

Scores are derived from the raw texts in the store, so another normaliser needs no model. A corpus rate is the sum of
errors over the sum of reference lengths (micro-average); a mean of utterance rates appears nowhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

from benchmark.api import Normalizer, Unit
from benchmark.errors import SpecError, StoreError
from benchmark.measure import bootstrap
from benchmark.measure.alignment import Aligner, Counts, Distances
from benchmark.store.folders import WAY_OUT
from benchmark.text.chosen import AUTO, chosen, for_language, several

if TYPE_CHECKING:
    from benchmark.store.records import Record

Metric = Literal["wer", "cer"]
METRIC: dict[Unit, Metric] = {"word": "wer", "char": "cer"}
"""What an error rate in a unit is called."""
Choice = str | Normalizer | Sequence[str | Normalizer]
"""What a caller may name normalisers by: ``hindi``, ``hindi,whisper_basic``, ``auto``, instances, a list of these."""
_UNSTATED = "decoding unknown"
_SAID = 200
"""Characters of somebody else's error message that are passed on."""


# --- normalisation ------------------------------------------------------------------------------------------------


class BrokenNormalizerError(SpecError):
    """A normaliser that raised, or returned something that is no string: a plug-in's fault, not the user's."""


@dataclass(frozen=True)
class _Tested:
    """What cells share that were tested on the same data."""

    of: tuple[list[str], list[str], Sequence[object]]
    """Ids, texts and speakers as they are stored."""
    ids: tuple[str, ...]
    speakers: tuple[str, ...] | None
    emptied: int
    align: Aligner


class Normalised:
    """A normaliser that meets each distinct text once: cells share their references, and many of their hypotheses.

    Args:
        normalizer: a normaliser, or a text as ``benchmark.text.chosen`` reads it. ``auto`` has a normaliser only for
            a language: see ``of``.
    """

    def __init__(self, normalizer: str | Normalizer) -> None:
        self._by_language: dict[str, Normalised] | None = None
        self._known: dict[str, str] = {}
        self._tested: dict[str, _Tested] = {}
        if isinstance(normalizer, str) and normalizer.strip() == AUTO:
            self._by_language = {}
            self.choice = AUTO
            return
        self._normalizer = chosen(normalizer) if isinstance(normalizer, str) else normalizer
        if self._normalizer.unit not in get_args(Unit):
            units = " or ".join(get_args(Unit))
            raise BrokenNormalizerError(self._fault(f"has unit {self._normalizer.unit!r}, which is not {units}"))
        self.signature = self._signature()
        unversioned = self.signature.replace(f":{self._normalizer.version}", "", 1)
        self.choice = normalizer if isinstance(normalizer, str) else unversioned

    @property
    def normalizer(self) -> Normalizer:
        """The normaliser.

        Raises:
            SpecError: it is ``auto``, which is one only for a language.
        """
        if self._by_language is not None:
            raise SpecError(f"normalizer {AUTO!r} is another one for each language; name one, e.g. hindi")
        return self._normalizer

    def of(self, language: str | None) -> Normalised:
        """Return this, or what ``auto`` stands for in a language.

        Raises:
            SpecError: ``auto``, and the language is unknown, or has no normaliser.
        """
        if self._by_language is None:
            return self
        if language is None:
            raise SpecError(f"normalizer {AUTO!r}: the record names no language; choose one with --normalizer")
        if language not in self._by_language:
            self._by_language[language] = Normalised(for_language(language))
        return self._by_language[language]

    def __call__(self, texts: Sequence[str], ids: Sequence[str]) -> list[str]:
        """Return the normalised texts; ``ids`` name the utterances in an error.

        Raises:
            BrokenNormalizerError: the normaliser raised, or returned something that is no string.
        """
        known = self._known
        for text, key in zip(texts, ids, strict=True):
            if text not in known:
                known[text] = self._one(text, key)
        return [known[text] for text in texts]

    def tested_on(self, data_hash: str, ids: list[str], texts: list[str], speakers: Sequence[object]) -> _Tested:
        """Return what all cells that were tested on the same data share: it is made once."""
        known = self._tested.get(data_hash)
        if known is None or known.of != (ids, texts, speakers):  # also where a file does not hold what its hash says
            references = self(texts, ids)
            emptied = sum(bool(raw.strip()) and not done.strip() for raw, done in zip(texts, references, strict=True))
            align = Aligner(references, self.normalizer.unit)
            known = _Tested((ids, texts, speakers), tuple(ids), _speakers(speakers), emptied, align)
            self._tested[data_hash] = known
        return known

    @classmethod
    def each(cls, choice: Choice, faults: list[str] | None = None) -> list[Normalised]:
        """Return the normalisers of a choice, in its order; broken ones go to ``faults`` where that is given.

        Raises:
            SpecError: a normaliser that does not exist, or (without ``faults``) is broken.
        """
        parts: list[str | Normalizer] = []
        for part in [choice] if isinstance(choice, (str, Normalizer)) else choice:
            parts += several(part) if isinstance(part, str) else [part]
        found = []
        for part in parts:
            try:
                found.append(cls(part))
            except BrokenNormalizerError as error:
                if faults is None:
                    raise
                faults.append(str(error))
        return found

    def _one(self, text: str, key: str) -> str:
        try:
            result = self.normalizer(text)
        except (Exception, SystemExit) as error:  # a plug-in's fault, whatever it is, must name it and the text
            said = f"failed on utterance {key}: {type(error).__name__}: {error}"
            raise BrokenNormalizerError(self._fault(said)) from error
        if not isinstance(result, str):
            raise BrokenNormalizerError(self._fault(f"returned {type(result).__name__}, not str, on utterance {key}"))
        return result

    def _signature(self) -> str:
        try:
            return str(self._normalizer.signature())
        except (Exception, SystemExit) as error:
            raise BrokenNormalizerError(self._fault(f"has no signature: {type(error).__name__}: {error}")) from error

    def _fault(self, said: str) -> str:
        """Return one line that can be printed and written, whatever the plug-in said."""
        plain = " ".join(said.encode("utf-8", "backslashreplace").decode().split())
        plain = plain if len(plain) <= _SAID else plain[:_SAID] + "..."
        kind = type(self._normalizer)
        return f"normalizer {self._normalizer.name!r} {plain} ({kind.__module__}.{kind.__qualname__})"


# --- records ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scored:
    """One (cell, split), scored: per-utterance errors in both units, and what the score was made with.

    The normaliser's unit has all counts; the other one has only its errors.
    """

    cell: str
    split: str
    data_hash: str
    ids: tuple[str, ...]
    language: str | None
    main: Counts
    """In the normaliser's unit: what is ranked, and what has an interval."""
    other: Distances
    """In the other unit."""
    empty_hypotheses: int
    emptied: int
    """References with text of which the normaliser leaves nothing; they count as empty references too."""
    runaways: int
    looped: int | None
    """Texts that repeat themselves; None where the transcripts, of an older version, do not tell."""
    unit: Unit
    signature: str
    speakers: tuple[str, ...] | None = None
    """Of each utterance; None where the transcripts do not tell, or not for all."""

    @property
    def words(self) -> Counts | Distances:
        """Errors in words."""
        return self.main if self.unit == "word" else self.other

    @property
    def chars(self) -> Counts | Distances:
        """Errors in characters."""
        return self.main if self.unit == "char" else self.other

    @property
    def metric(self) -> Metric:
        """What the error rate in the normaliser's unit is called."""
        return METRIC[self.unit]


def scored(record: Record, split: str, normalised: Normalised) -> Scored:
    """Score one split of a record; ``auto`` is the normaliser of its corpus' language.

    Raises:
        StoreError: the record has no such split, or its transcripts cannot be read.
        BrokenNormalizerError: the normaliser fails on a text.
        SpecError: ``auto`` finds no normaliser for the language.
    """
    language = language_of(record)
    normalised = normalised.of(language)
    columns = record.columns(split, "speaker", "truncated", "looped")
    ids = [str(key) for key in columns["id"]]
    said, heard = (_texts(record, split, name, columns[name], ids) for name in ("reference", "hypothesis"))
    data_hash = str(record.data["data"][split]["hash"])
    shared = normalised.tested_on(data_hash, ids, said, columns.get("speaker", ()))
    hypotheses = normalised(heard, ids)
    main, other = shared.align(hypotheses)
    return Scored(
        cell=record.cell,
        split=split,
        data_hash=data_hash,
        ids=shared.ids,
        language=language,
        main=main,
        other=other,
        empty_hypotheses=sum(not text.strip() for text in hypotheses),
        emptied=shared.emptied,
        runaways=sum(map(bool, columns.get("truncated", ()))),
        looped=sum(map(bool, columns["looped"])) if "looped" in columns else None,
        unit=normalised.normalizer.unit,
        signature=signature(normalised, decoding_of(record)),
        speakers=shared.speakers,
    )


def _speakers(stored: Sequence[object]) -> tuple[str, ...] | None:
    """Return who spoke each utterance; None where that is missing or empty for any."""
    known = tuple(who for who in stored if isinstance(who, str) and who)
    return known if known and len(known) == len(stored) else None


def _texts(record: Record, split: str, name: str, texts: list[object], ids: Sequence[str]) -> list[str]:
    """Return a column of transcripts as it is, if it holds texts: else a normaliser would be blamed."""
    if set(map(type, texts)) <= {str}:
        return cast("list[str]", texts)
    text, key = next((text, key) for text, key in zip(texts, ids, strict=True) if not isinstance(text, str))
    raise StoreError(f"{record.path}: {name} of utterance {key} ({split}) is {text!r:.40}, not a text; {WAY_OUT}")


def language_of(record: Record) -> str | None:
    """Return the language of a record's corpus; None where it names none."""
    language = (record.data["spec"].get("corpus") or {}).get("language")
    return None if language is None else str(language)


def decoding_of(record: Record) -> str:
    """Return the decoder's settings as a record states them."""
    return str((record.data.get("decoding") or {}).get("signature") or _UNSTATED)


def signature(normalised: Normalised, decoding: str) -> str:
    """Return what a score carries, e.g. ``wer|hindi:1|word|greedy,max=44|prunebench:0.1.0``."""
    from benchmark import __version__

    unit = normalised.normalizer.unit
    return "|".join((METRIC[unit], normalised.signature, unit, decoding, f"prunebench:{__version__}"))


def check_paired(found: Sequence[Scored], option: str = "") -> None:
    """Refuse scores that were not made from the same utterances.

    Args:
        found: the scores, of one split.
        option: the flag by which records on one of several test data are chosen, where the user has one.

    Raises:
        StoreError: two of them; both cells are named.
    """
    for one in found[1:]:
        if (one.data_hash, one.ids) != (found[0].data_hash, found[0].ids):
            way = "run both on one copy of the corpus"
            if option and one.data_hash != found[0].data_hash:
                usual = Counter(each.data_hash for each in found).most_common(1)[0][0]
                way = f"choose those on one with {option} {usual[:12]}, or {way}"
            raise StoreError(
                f"cells {found[0].cell} and {one.cell} cannot be paired: their {one.split!r} data differ "
                f"(hash {found[0].data_hash[:12]} and {one.data_hash[:12]}); {way}"
            )


def compare(a: Scored, b: Scored, resamples: int = 10_000, seed: int = 0) -> bootstrap.Paired:
    """Return the paired difference of two cells on the same split: rate of A minus rate of B.

    Raises:
        StoreError: the two were made from different test data.
        SpecError: their signatures differ, so their rates mean different things.
    """
    check_paired([a, b])
    if a.signature != b.signature:
        raise SpecError(f"cells {a.cell} and {b.cell} were scored differently: {a.signature} and {b.signature}")
    return bootstrap.paired(a.main.errors, b.main.errors, a.main.lengths, resamples, seed)
