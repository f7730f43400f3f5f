"""What can be exported, by whatever name it is called: a cell, an attempt's folder, a model folder, a model plug-in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import DataError, SpecError, StoreError, nearest
from benchmark.registry import REGISTRY
from benchmark.store.folders import MARKER
from benchmark.store.records import MODEL, PLAN, RECORD, SPEC, Record, latest_of, read_record
from benchmark.store.sources import model_options

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    from benchmark.whisper.export_parity import Material

_PROCESSOR = ("processor_config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class Source:
    """A model with its processor (where it has one), how it is called, and its record if a run made it."""

    model: WhisperForConditionalGeneration
    processor: WhisperProcessor | None
    name: str
    record: Record | None = None


def open_source(source: str, runs: Sequence[Path]) -> Source:
    """Open a folder, a model plug-in, or a cell (its id or a unique beginning of it) of some run folders.

    Raises:
        SpecError: no such model or cell, or a beginning that several cells share.
        DataError: a folder that holds no Whisper.
        StoreError: a failed cell, one that kept no artefact, or a folder that cannot be used.
    """
    folder = Path(source)
    if folder.is_dir():
        if (folder / MARKER).is_file():
            raise StoreError(f"{folder}: a run folder; name one of its cells: prunebench export CELL --runs {folder}")
        if (folder / RECORD).is_file():
            return _attempt(read_record(folder.resolve()))  # its place names cell and run
        if (folder / SPEC).is_file():
            raise StoreError(f"{folder}: an attempt without {RECORD}, so it was never finished; run the cell again")
        return open_folder(folder)
    if folder.name != source or folder.exists():
        raise DataError(f"{folder}: no such folder; give a folder with a Whisper, a cell's id, or the name of a model")
    models = REGISTRY.names("model")
    if source in models:
        return open_plugin(source)
    return _attempt(_cell(source, runs, models))


def open_plugin(name: str, **options: Any) -> Source:
    """Open a model plug-in by name."""
    model, processor = REGISTRY.get("model", name, **options).load()
    return Source(model, processor, name)


def open_folder(folder: Path) -> Source:
    """Open a model folder, ours or any Whisper's, with its processor where there is one.

    Raises:
        DataError: not a Whisper, or a processor that does not open.
    """
    from benchmark.whisper.files import load
    from benchmark.whisper.states import UNREADABLE, said

    model = load(folder)
    if not any((folder / name).is_file() for name in _PROCESSOR):
        return Source(model, None, folder.name)

    from transformers import WhisperProcessor

    try:
        processor = WhisperProcessor.from_pretrained(folder, local_files_only=True)
    except UNREADABLE as error:
        raise DataError(f"{folder}: its processor does not open ({said(error)}); restore the folder") from error
    return Source(model, processor, folder.name)


def run_folders(runs: Sequence[Path]) -> list[Path]:
    """Return the run folders that were named, or else those in ``out/``."""
    return list(runs) or sorted(path.parent for path in Path("out").glob(f"*/{MARKER}"))


def _cell(source: str, runs: Sequence[Path], models: Sequence[str]) -> Record:
    folders = run_folders(runs)
    found = latest_of(folders)
    matching = [record for record in found if record.cell.startswith(source)]
    where = ", ".join(map(str, folders)) or "no run folder in out/; name one with --runs"
    if not matching:
        known = nearest(source, [*models, *(record.cell for record in found)])
        close = known if "did you mean" in known else ""
        raise SpecError(f"no model, folder or cell {source!r}{close} (looked in: {where})")
    if len(matching) > 1:
        some = ", ".join(f"{record.cell} ({_title(record)})" for record in matching[:4])
        more = ", ..." if len(matching) > 4 else ""
        raise SpecError(f"{source!r} begins the ids of {len(matching)} cells: {some}{more}; give more of the id")
    return matching[0]


def _title(record: Record) -> str:
    keep = (record.data["spec"].get("budget") or {}).get("keep")
    return f"{record.data['spec']['method']['name']}{'' if keep is None else f' at {keep:g}'}"


def _attempt(record: Record) -> Source:
    """Open an attempt: the model, and the processor of its base, trimmed as its vocabulary is."""
    from benchmark.whisper.checkpoints import set_language
    from benchmark.whisper.files import load
    from benchmark.whisper.plan import Plan
    from benchmark.whisper.vocabulary import processor_of

    if not record.ok:
        happened = f"was {record.error}" if record.stopped else f"failed ({record.error})"
        raise StoreError(f"cell {record.cell} {happened}, so there is no model; run it again")
    if not (record.path / MODEL).is_file():
        raise StoreError(
            f"{record.path}: kept no model (keep_artefacts: none or front in its spec, or it was deleted since); "
            "run the cell again into a new folder with keep_artefacts: all"
        )
    model = load(record.path)
    spec = record.data["spec"]["model"]
    processor = open_plugin(spec["name"], **model_options(record.path, spec)).processor
    language = record.data["spec"]["corpus"].get("language")
    if language:
        set_language(processor, model, language)
    trimmed = processor_of(Plan.load(record.path / PLAN), processor)
    return Source(model, trimmed, f"{_title(record)}, cell {record.cell}", record)


def spoken(record: Record, processor: WhisperProcessor, utterances: int | None = None) -> Material:
    """Return the evaluation splits that a record was tested on (their first ``utterances``), as log-mels.

    Raises:
        StoreError: the corpus here is not what the record was tested on.
        DataError: the corpus cannot be read.
    """
    from benchmark.corpora.features import log_mels
    from benchmark.harness.run import corpus_of  # where a corpus lies is in the run's specs, and told to nobody else
    from benchmark.whisper.export_parity import Material, Speech

    asked = record.data["spec"]
    chosen = corpus_of(record.path.parents[2], [record])
    corpus = REGISTRY.get("corpus", chosen.name, **chosen.options)
    greedy = asked["decoding"].get("beams", 1) == 1
    parts = []
    for name, limit in asked["corpus"]["evaluate"].items():
        split = corpus.load(name, limit)
        if split.data_hash != record.data["data"][name]["hash"]:
            raise StoreError(
                f"split {name!r} of {chosen.name} is not the data that cell {record.cell} was tested on; restore it, "
                "or export --format hf first and that folder after, which is compared on random features"
            )
        few = slice(0, utterances)
        stored = record.transcripts(name)["hypothesis"].tolist()[few] if greedy else None
        parts.append(Speech(f"{chosen.name}, {name}", log_mels(split, processor.feature_extractor)[few], stored))
    return Material(parts, asked["corpus"]["language"], asked["decoding"].get("max_new_tokens"))
