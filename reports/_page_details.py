"""What a row of the leaderboard unfolds to: configuration, cost, provenance, densities and sample transcripts."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmark.store.records import Record, folder_of, read_record
from benchmark.store.scoring import column
from reports._cells import NOTHING, absent, count, number, percent, si, times
from reports._density import Unknown, densities
from reports._page_samples import Samples
from reports._page_text import shown

if TYPE_CHECKING:
    import pandas as pd

MOST = 400
"""Entries up to which rows unfold to everything; of more, to what the frame knows."""
Pairs = list[tuple[str, str]]
_RECIPE = {"learning_rate": "learning rate", "weight_decay": "weight decay", "warmup": "warm-up"}
_MISSED = {"failed": "failed", "stopped": "stopped", "missing": "missing"}


def details(rows: pd.DataFrame, frame: pd.DataFrame) -> dict[str, Any]:
    """Return the details of entries: ``entries`` maps an entry to its details, ``whole`` says whether all is there.

    Args:
        rows: the entries of all boards; an entry may stand on several.
        frame: what they are made of.

    Raises:
        StoreError: a record, plan or transcript that cannot be read.
    """
    from benchmark.errors import SpecError

    unique = rows.drop_duplicates("entry").to_dict("records")
    whole = len(unique) <= MOST
    samples = Samples(frame) if whole else None
    cells: dict[str, list[tuple[Any, Any]]] = {}
    for entry, seed, cell in zip(frame["entry"], frame["seed"], frame["cell"], strict=True):
        cells.setdefault(str(entry), []).append((seed, cell))
    found: dict[str, Any] = {}
    for row in unique:
        entry = str(row["entry"])
        record = read_record(folder_of(row)) if whole and row["status"] != "missing" else None
        told: dict[str, Any] = {
            "groups": [
                ["Configuration", _safe(_configuration(row, record))],
                ["Cost", _safe(_cost(row))],
                ["Provenance", _safe(_provenance(row, record, cells[entry], frame))],
            ]
        }
        if row["status"] == "ok":
            told["command"] = f"prunebench export {row['cell']} --runs {shlex.quote(str(row['run']))} --to model"
            if samples is not None:
                try:
                    told["samples"] = samples.of(row)
                except SpecError as error:  # a normaliser that breaks: its scores are missing for the same reason
                    told["no_samples"] = shown(str(error))
                shares = densities(row)
                if isinstance(shares, Unknown):
                    told["no_density"] = shown(f"What is kept by layer and matrix is not known: {shares.why}.")
                else:
                    told["density"] = density(shares)
        found[entry] = told
    return {
        "entries": found,
        "whole": whole,
        "note": samples.note if samples else "",
        "split": samples.split if samples else "",
    }


def _safe(pairs: Iterator[tuple[str, str]]) -> Pairs:
    return [(shown(name, 80), shown(text)) for name, text in pairs if text not in ("", NOTHING)]


def _configuration(row: Mapping[Any, Any], record: Record | None) -> Iterator[tuple[str, str]]:
    version = "" if absent(row["method_version"]) else f", version {row['method_version']}"
    yield "method", f"{row['method']}{version}"
    options = json.loads(row["options"])
    yield "options", ", ".join(f"{name}={_short(value)}" for name, value in options.items()) or "its defaults"
    if row["block"] == "reference":
        yield "budget", "none: its own operating point"
    else:
        asked = f"{row['kind']}: {percent(row['keep']).text} kept"
        yield "budget asked", asked + ("" if absent(row["tolerance"]) else f" ± {100 * row['tolerance']:g} points")
        yield "reached", f"{percent(row['reached'], 2).text} of {count(row['denominator']).text} prunable weights"
    yield "quantised", "" if absent(row["quantised"]) else str(row["quantised"])
    yield "model", f"{row['model']} @ {row['revision']}"
    yield "corpus", f"{row['corpus']} {row['corpus_version']} ({row['language']})"
    recipe = (record.data["spec"].get("training") if record else None) or {}
    for name, value in recipe.items():
        yield _RECIPE.get(name, name), _short(value)
    if not recipe:
        yield "training", f"recipe {row['recipe']}" if row["recipe"] and record is None else "none"
    yield "decoding", "" if absent(row["decoding"]) else str(row["decoding"])


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _cost(row: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    yield "training steps", count(row["steps"]).text
    yield "utterances seen", count(row["utterances"]).text
    yield "tokens seen", count(row["tokens"]).text
    yield "training time", f"{number(row['train_seconds']).text} s" if not absent(row["train_seconds"]) else ""
    yield "extra passes", _passes(row)
    yield "parameters, nominal", si(row["params_nominal"]).text
    yield "parameters, stored", si(row["params_stored"]).text
    yield "file", si(row["bytes"], unit="B").text
    yield "weights in memory", si(row["weight_bytes"], unit="B").text
    yield "MACs, encoder a window", si(row["macs_encoder"]).text
    yield "MACs, cross K/V a window", si(row["macs_cross_kv"]).text
    position = "" if absent(row["macs_position"]) else f" (cache at {row['macs_position']})"
    yield f"MACs, decoder a token{position}", si(row["macs_decoder_token"]).text
    yield "speed to dense", times(row["speedup"]).text
    low, high = number(row["rtfx_lo"]).text, number(row["rtfx_hi"]).text
    spread = "" if absent(row["rtfx_lo"]) else f" [{low}, {high}]"
    yield "audio s a second (RTFx)", number(row["rtfx"]).text + spread if not absent(row["rtfx"]) else ""
    yield "encoder", f"{number(row['encoder_ms']).text} ms" if not absent(row["encoder_ms"]) else ""
    yield "peak memory", si(row["peak_memory"], unit="B").text


def _passes(row: Mapping[Any, Any]) -> str:
    found = [(name, row[f"{name}_passes"]) for name in ("calibration", "teacher")]
    return ", ".join(f"{int(value):,} {name}" for name, value in found if not absent(value) and value > 0)


def _provenance(
    row: Mapping[Any, Any], record: Record | None, cells: Sequence[tuple[Any, Any]], frame: pd.DataFrame
) -> Iterator[tuple[str, str]]:
    yield "seeds", _seeds(row)
    ordered = sorted(cells, key=lambda pair: -1 if absent(pair[0]) else int(pair[0]))
    names = [f"{seed}: {cell}" if len(cells) > 1 else str(cell) for seed, cell in ordered]
    yield "cells" if len(names) > 1 else "cell", ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    yield "attempt", str(row["attempt"])
    yield "finished", "" if absent(row["finished"]) else str(row["finished"])
    yield "commit", "" if absent(row["commit"]) else str(row["commit"])
    yield "trained on", "" if absent(row["fitted_on"]) else str(row["fitted_on"])
    yield "decoded on", "" if absent(row["decoded_on"]) else str(row["decoded_on"])
    yield "timed on", "" if absent(row["device"]) else str(row["device"])
    versions = ((record.data.get("environment") or {}) if record else {}).get("versions") or {}
    yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items())
    for split in frame.attrs.get("splits", ()):
        found = row[f"{column(split)}_hash"]
        yield f"data {split}", "" if absent(found) else str(found)[:16]
    drawn = row.get(f"{column((frame.attrs.get('splits') or ['test'])[0])}_resampled")
    yield "intervals resample", "" if drawn is None or absent(drawn) else str(drawn)
    yield "signature", "" if absent(row["signature"]) else str(row["signature"])


def _seeds(row: Mapping[Any, Any]) -> str:
    lost = [f"{int(row[name])} {said}" for name, said in _MISSED.items() if row[name]]
    return ", ".join([str(row["seed_list"]).replace(",", ", ") or "none finished", *lost])


def density(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table of densities for the page: one part a stack, its layers as rows of pairs (nominal, stored).

    Args:
        table: columns ``stack``, ``layer``, ``part``, ``nominal``, ``stored``.
    """
    return [_stack(str(stack), rows) for stack, rows in table.groupby("stack", sort=False)]


def _stack(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    parts = list(dict.fromkeys(map(str, rows["part"])))
    found = {
        (int(layer), str(part)): [round(float(nominal), 4), round(float(stored), 4)]
        for layer, part, nominal, stored in rows[["layer", "part", "nominal", "stored"]].itertuples(index=False)
    }
    layers = sorted({layer for layer, _ in found})
    return {
        "stack": name,
        "parts": parts,
        "layers": layers,
        "cells": [[found.get((at, p)) for p in parts] for at in layers],
    }
