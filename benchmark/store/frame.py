"""Many records as one pandas table: one row a cell, failed cells among them.

| columns | meaning |
|---|---|
| run, cell, attempt, status, error, finished, seconds | whose row it is; `error` is empty for a result |
| | `status`: ok, failed, pruned (stopped while it trained; `error` says where and why), or missing (see ``asked``) |
| block, kind, keep, reached, denominator, tolerance | the budget; ranks exist inside one `block` |
| model, revision, method, method_version, options, seed, corpus, corpus_version, language | what was asked |
| entry | what the cells of one method at one budget share, whatever their seed: see ``benchmark.store.entries`` |
| label | method[options]; with @version where records of several versions of a method lie side by side |
| quantised | `int8` where the Linear layers are (such a row is a reference and is not ranked), else empty |
| setting, recipe | short hashes: model, corpus and decoding; training (empty where nothing is trained) |
| steps, utterances, tokens, train_seconds | what training really cost |
| calibration_passes, teacher_passes | utterances passed through the model besides, and through a teacher |
| prunable, prunable_nonzero, prunable_stored | prunable weights: all, not exactly zero, as saved |
| params_dense, params_nominal, params_stored, bytes | the whole model: dense, non-zero, as saved; file size |
| weight_bytes | parameters and buffers as they lie in memory while the model computes (int8 as int8) |
| macs_encoder, macs_cross_kv, macs_decoder_token, macs_position, macs_backend | executed multiply-adds, three parts |
| macs_first_token | encoder + cross-attention keys and values + one decoder token: a window up to its first word |
| batch, rtfx, rtfx_lo, rtfx_hi, encoder_ms, device | one device, one batch; ends are quartiles of the repeats |
| speedup, speedup_lo, speedup_hi | against the dense model, timed in the same process: this compares between records |
| peak_memory | bytes that inference at `batch` takes at most in a fresh process, beyond its libraries; same record |
| trained_on, threads, commit, decoding | where and how it was evaluated, `trained_on` too, in spite of its name |
| fitted_on | devices and threads of its Fits, `cpu, 1 thread`, joined by ` + `; empty: none; None: not recorded |
| decoded_on | device and threads of its evaluation, in the same words |
| <split>_hash, _utterances, _skipped | the data really used, and files left out; a dash in the name becomes `_` |
| <split>_in_training | utterances whose audio the model was trained on; 0 where nothing is trained |
| <split>_wer, _wer_lo, _wer_hi, _wer_delta, _wer_delta_lo, _wer_delta_hi | with a normaliser: see `store.scoring` |
| <split>_cer..., <split>_error..., <split>_empty, _runaway, _looped, ... | the same; fractions, not % |
| metric, unit, signature | what `error` is (wer or cer), its unit, and what the row's scores were made with |
| rank, non_inferior | of the row's entry: see ``benchmark.store.scoring`` |
| <other>__... | the same of every further normaliser, ranks included |

Speeds are those of one device at one batch size: of the batch sizes timed there, the one at which most cells were, the
largest of equals. A cell that was not timed at it has no timing here; of a cell's timings at it the newest counts.

``frame.attrs`` holds what is said once: normalizer, signature, metric (``error`` where rows differ in it), others
(prefix of columns to these three), faults, splits, device, devices, batch (None where nothing is timed), data,
problems, margin, resamples, and lost (from the command line: cells that were asked for, have no record, and cannot be
told any more).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import StoreError, nearest
from benchmark.measure.scores import Choice
from benchmark.store.filters import Filter
from benchmark.store.naming import label, short_hash
from benchmark.store.records import Record, records
from benchmark.store.scoring import MARGIN, add_scores, column
from benchmark.store.timings import timings as read_timings

if TYPE_CHECKING:
    import pandas as pd

BLOCKS = {"none": "reference", "prunable_nominal": "mask", "prunable_stored": "stored"}
"""Kind of budget to block; any other kind is a block of its own, for another denominator is another race."""

_COUNTS = (
    *("prunable", "prunable_nonzero", "prunable_stored"),
    *("params_dense", "params_nominal", "params_stored", "bytes", "weight_bytes"),
)
FROM_RECORD: dict[str, tuple[str, str]] = {
    "status": ("status", "str"),
    "quantised": ("plan.quantised", "str"),
    "finished": ("finished", "str"),
    "seconds": ("seconds", "float64"),
    "kind": ("spec.budget.kind", "str"),
    "keep": ("spec.budget.keep", "float64"),
    "reached": ("budget.reached", "float64"),
    "denominator": ("budget.denominator", "Int64"),
    "tolerance": ("spec.budget.tolerance", "float64"),
    "model": ("spec.model.name", "str"),
    "revision": ("spec.model.revision", "str"),
    "method": ("spec.method.name", "str"),
    "method_version": ("spec.method.version", "str"),
    "seed": ("spec.seed", "Int64"),
    "corpus": ("spec.corpus.name", "str"),
    "corpus_version": ("spec.corpus.version", "str"),
    "language": ("spec.corpus.language", "str"),
    "steps": ("training.steps", "Int64"),
    "utterances": ("training.utterances", "Int64"),
    "tokens": ("training.tokens", "Int64"),
    "calibration_passes": ("training.calibration_passes", "Int64"),
    "teacher_passes": ("training.teacher_passes", "Int64"),
    "train_seconds": ("training.seconds", "float64"),
    **{name: (f"counts.{name}", "Int64") for name in _COUNTS},
    "macs_encoder": ("counts.macs.encoder", "Int64"),
    "macs_cross_kv": ("counts.macs.cross_kv", "Int64"),
    "macs_decoder_token": ("counts.macs.decoder_token", "Int64"),
    "macs_position": ("counts.macs.position", "Int64"),
    "macs_backend": ("counts.macs.backend", "str"),
    "decoding": ("decoding.signature", "str"),
    "trained_on": ("environment.device", "str"),
    "threads": ("environment.threads", "Int64"),
    "commit": ("environment.commit", "str"),
}
"""Column to the place in a record that it is taken from, and its kind."""
AND = " + "
"""Between the places of one cell, or of the cells of one entry."""
_FROM_TIMING = (
    *("batch", "rtfx", "rtfx_lo", "rtfx_hi", "speedup", "speedup_lo", "speedup_hi", "encoder_ms", "peak_memory"),
)


def frame(
    runs: Path | str | Sequence[Path | str],
    normalizer: Choice | None = None,
    timings: bool = True,
    *,
    device: str | None = None,
    cells: Collection[str] | None = None,
    where: Filter | None = None,
    asked: Mapping[str, Mapping[str, Any]] | None = None,
    margin: float = MARGIN,
    problems: list[str] | None = None,
    faults: list[str] | None = None,
) -> pd.DataFrame:
    """Return one row a cell, from one run folder or several.

    Args:
        runs: run folders; of a cell with several attempts the newest result counts, else the newest other one.
        normalizer: a normaliser, or a text such as ``hindi[nasal=off]``, ``auto`` (that of each corpus' language) or
            ``hindi,whisper_basic`` (side by side; the first ranks); with it, scores, intervals, differences to dense
            and ranks are added.
        timings: join the timing records of one device.
        device: its key; by default the device that timed most of the cells (the newest of equals).
        cells: keep only these ids, e.g. those of one spec.
        where: keep only what this means.
        asked: cells that should be there, id to identity (``benchmark.specs.Cell.identity``); those without a record
            get a row of status ``missing``, so that a gap is seen.
        margin: how much worse than dense is still no worse (``non_inferior``), as a fraction.
        problems: where given, records that cannot be used are left out and named here instead of raised.
        faults: where given, normalisers that break are named here, and their scores left out, instead of raised.

    Raises:
        StoreError: a folder or record that cannot be used, nothing that ``where`` means, a device that timed nothing of
            it, or cells to be paired that saw different test data or were decoded differently.
        SpecError: no such normaliser, none for a language (``auto``), or a broken one.
    """
    import pandas as pd

    folders = [runs] if isinstance(runs, (str, Path)) else list(runs)
    chosen = _newest([record for folder in folders for record in records(folder, problems)], cells)
    chosen += _gaps(folders[0], asked or {}, {record.cell for record in chosen})
    chosen = chosen if where is None else where.apply(chosen)
    splits = _splits(chosen)
    table = pd.DataFrame([_row(record) for record in chosen], columns=_columns(splits))
    table = table.astype({name: kind for name, (_, kind) in FROM_RECORD.items() if kind != "str"})
    table = table.astype(
        {f"{column(split)}_{what}": "Int64" for split in splits for what in ("utterances", "skipped", "in_training")}
    )
    versions = table.groupby("label")["method_version"].transform("nunique")
    table["label"] = table["label"].where(versions < 2, table["label"] + "@" + table["method_version"].fillna("?"))
    table["macs_first_token"] = table["macs_encoder"] + table["macs_cross_kv"] + table["macs_decoder_token"]
    found = [timing for folder in folders for timing in read_timings(folder)] if timings else []
    table, devices, batch = _with_timings(table, found, device)
    table.attrs |= {
        "splits": splits,
        "data": {split: sorted(set(table[f"{column(split)}_hash"].dropna())) for split in splits},
        "device": _told(device, devices),
        "devices": devices,
        "batch": batch,
        "problems": list(problems or ()),
    }
    if normalizer is not None:
        table = add_scores(table, {record.cell: record for record in chosen}, normalizer, faults, margin)
    return table


def check_filled(table: pd.DataFrame) -> None:
    """Refuse a frame without rows: a report of nothing would look like one.

    Raises:
        StoreError: it has none.
    """
    if table.empty and table.attrs.get("problems"):
        raise StoreError(f"there is nothing to report: no record can be used; {table.attrs['problems'][0]}")
    if table.empty:
        raise StoreError("there is nothing to report: the run folder holds no finished and no failed cell")


def _newest(found: list[Record], cells: Collection[str] | None) -> list[Record]:
    wanted = sorted((r for r in found if cells is None or r.cell in cells), key=lambda r: r.cell)
    return [max(group, key=lambda r: (r.ok, r.attempt)) for _, group in groupby(wanted, key=lambda r: r.cell)]


def _gaps(run: Path | str, asked: Mapping[str, Mapping[str, Any]], there: Collection[str]) -> list[Record]:
    """Return stand-ins for cells without a record; they are no records of any store."""
    return [
        Record(cell, "", Path(run) / "runs" / cell / "none", {"status": "missing", "spec": dict(identity)})
        for cell, identity in sorted(asked.items())
        if cell not in there
    ]


def _splits(chosen: list[Record]) -> list[str]:
    """Return the evaluation splits in order of first appearance (``test`` first, as the harness writes it)."""
    found = dict.fromkeys(split for record in chosen for split in record.data.get("data") or {})
    return sorted(found, key=lambda split: (split != "test", split))


def _columns(splits: list[str]) -> list[str]:
    first = ["run", "cell", "attempt", "error", "entry", "block", "label", "options", "setting", "recipe"]
    first += ["fitted_on", "decoded_on", *FROM_RECORD]
    return first + [
        f"{column(split)}_{what}" for split in splits for what in ("hash", "utterances", "skipped", "in_training")
    ]


def _row(record: Record) -> dict[str, Any]:
    data, spec = record.data, record.data["spec"]
    options = dig(data, "spec.method.options") or {}
    kind = dig(data, "spec.budget.kind") or "none"
    row: dict[str, Any] = {
        "run": str(record.path.parents[2]),
        "cell": record.cell,
        "attempt": record.attempt,
        "error": "" if record.data["status"] == "missing" else record.error,
        "entry": short_hash({part: value for part, value in spec.items() if part != "seed"}),
        "block": BLOCKS.get(kind, kind),
        "label": label(str(dig(data, "spec.method.name")), options),
        "options": json.dumps(options, sort_keys=True, ensure_ascii=False),
        "setting": short_hash([spec.get(part) for part in ("model", "corpus", "decoding")]),
        "recipe": short_hash(spec.get("training")),
        "fitted_on": _places(dig(data, "training.trained_on")),
        "decoded_on": _places([data["environment"]] if data.get("environment") else None),
    }
    row |= {name: dig(data, path) for name, (path, _) in FROM_RECORD.items()}
    for split, about in (data.get("data") or {}).items():
        row[f"{column(split)}_hash"] = about.get("hash")
        row[f"{column(split)}_utterances"] = about.get("utterances")
        row[f"{column(split)}_skipped"] = about.get("skipped")
        row[f"{column(split)}_in_training"] = about.get("in_training", 0)
    return row


def _places(found: Sequence[Mapping[str, Any]] | None) -> str | None:
    """Return where the Fits of a path ran, or its evaluation, each place once; another commit is no other place."""
    if found is None:
        return None
    places = [f"{one['device']}, {one['threads']} thread{'s' * (one['threads'] != 1)}" for one in found]
    return AND.join(dict.fromkeys(places))


def dig(data: Any, path: str) -> Any:
    """Follow a dotted path into nested objects; None where a part is absent (a failed record lacks some)."""
    for part in path.split("."):
        data = data.get(part) if isinstance(data, Mapping) else None
    return data


def _with_timings(
    table: pd.DataFrame, found: list[dict[str, Any]], device: str | None
) -> tuple[pd.DataFrame, list[str], int | None]:
    """Join, by cell and attempt, the newest timing on one device at one batch size.

    Also return all devices, the fullest first, and the batch size: that of most cells, the largest of equals. Numbers
    of two devices or of two batch sizes never share a column.

    Raises:
        StoreError: ``device`` timed none of the cells.
    """
    import pandas as pd

    rows = [row | {"device": one["device"], "stamp": one.get("stamp", "")} for one in found for row in one["rows"]]
    wanted = ["cell", "attempt", "device", "stamp", *_FROM_TIMING]
    timed = pd.DataFrame(rows, columns=None if rows else wanted).reindex(columns=wanted)
    timed = timed.astype(dict.fromkeys(_FROM_TIMING, "float64")).merge(table[["cell", "attempt"]])
    per_device = timed.groupby("device").agg(cells=("cell", "nunique"), newest=("stamp", "max"))
    devices = per_device.sort_values(["cells", "newest"], ascending=False).index.tolist()
    if device is not None and device not in devices:
        there = nearest(device, devices) if devices else "; nothing was timed: prunebench profile does that"
        raise StoreError(f"device {device!r} timed none of these{there}")
    chosen = timed[timed["device"] == _told(device, devices)].sort_values("stamp", kind="stable")
    per_batch = chosen.groupby("batch")["cell"].nunique()
    batch = None if per_batch.empty else int(per_batch.index[per_batch == per_batch.max()].max())
    newest = chosen[chosen["batch"] == batch].drop_duplicates(["cell", "attempt"], keep="last").drop(columns="stamp")
    return table.merge(newest, on=["cell", "attempt"], how="left"), devices, batch


def _told(device: str | None, devices: Sequence[str]) -> str | None:
    """Return the device that was asked for, else the fullest one; None where nothing is timed."""
    return devices[0] if device is None and devices else device
