"""What a card says of the record that a model was exported from: making, scores against dense, speed, repetition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmark.markdown import code, plain
from benchmark.registry import REGISTRY
from benchmark.reproduce import of_cell
from benchmark.store.folders import MARKER
from benchmark.store.naming import label
from benchmark.store.records import Record, latest

UNITS = {"wer": "word", "cer": "char"}

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.harness.exporting import Source
    from benchmark.measure.scores import Normalised
    from benchmark.whisper.card import About, Score, Timing


def about(source: Source, command: str, normalizer: str | None = None) -> About:
    """Return what a card says of a source; scores only of a record, with a normaliser (the first of several).

    Raises:
        SpecError: no such normaliser, or a broken one.
        StoreError: the run folder, its timings or its transcripts cannot be read.
    """
    from benchmark.text.chosen import several
    from benchmark.whisper.card import About, origin

    told = origin(source.model)
    record = source.record
    if record is None:
        return About(**{**told, "base": source.name, "command": command})
    spec = record.data["spec"]
    told["base"] = f"{spec['model']['name']}, revision {spec['model'].get('revision')}"
    first = None if normalizer is None else several(normalizer)[0]  # the one that ranks
    dense = _dense(record)
    return About(
        **told,
        command=command,
        made=tuple(_made(record)),
        dense=record.data["counts"].get("params_dense"),
        scores=() if first is None else tuple(_scores(record, first, dense)),
        compared=_compared(record, dense),
        timings=tuple(_timings(record)),
        recipe=of_cell(record, normalizer),
        limits=tuple(_limits(record)),
    )


def _made(record: Record) -> Iterator[str]:
    data, spec = record.data, record.data["spec"]
    method = label(str(spec["method"].get("name")), spec["method"].get("options") or {})
    budget, training = data.get("budget") or {}, data.get("training") or {}
    yield f"Cell {code(record.cell)}, attempt {code(record.attempt)}: method {code(method)}."
    if budget.get("asked") is not None:
        yield (
            f"Budget {code(budget['kind'])}: {budget['asked']:.1%} asked, {budget['reached']:.2%} reached, of "
            f"{budget['denominator']:,} prunable weights."
        )
    if training.get("steps"):
        yield (
            f"It was trained for {training['steps']:,} optimiser steps on {plain(spec['corpus']['name'])} "
            f"({plain(spec['corpus'].get('language'))}), seed {spec['seed']}."
        )
    yield from _versions(record)


def _versions(record: Record) -> Iterator[str]:
    """Yield with what, where and when the record was made, as far as it says so."""
    made = record.data.get("environment") or {}
    versions = dict(made.get("versions") or {})
    ours = f"prunebench {versions.pop('prunebench', '')}".rstrip()
    ours += f" (commit {made['commit']})" if made.get("commit") else ""
    python = [f"Python {made['python']}"] if made.get("python") else []
    said = [", ".join([ours, *python, *(f"{name} {version}" for name, version in sorted(versions.items()))])]
    if made.get("device"):
        machine = f" ({made['machine']})" if made.get("machine") else ""
        threads = made.get("threads")
        said.append(f"on {made['device']}{machine}" + (f", {threads} thread{'s' * (threads != 1)}" if threads else ""))
    said += [f"finished {record.data['finished']}"] if record.data.get("finished") else []
    yield f"Made by {plain('; '.join(said))}."


def _limits(record: Record) -> Iterator[str]:
    spec = record.data["spec"]
    if (spec.get("budget") or {}).get("kind") == "prunable_nominal":
        yield "What the method set to zero is stored and multiplied: masks make a model neither smaller nor faster."
    if spec.get("training") is not None:
        yield (
            f"One training run (seed {spec['seed']}): the intervals are over what was drawn again, and do not hold how "
            "much another seed would differ."
        )


# --- measured -----------------------------------------------------------------------------------------------------


def _in_run(record: Record) -> bool:
    return (record.path.parents[2] / MARKER).is_file()


def _dense(record: Record) -> list[Record]:
    """Return the finished dense models of the record's run that it could be compared with: same setting and seed."""
    spec = record.data["spec"]
    if not _in_run(record):
        return []
    return [
        other
        for other in latest(record.path.parents[2], problems=[])
        if other.ok
        and (asked := other.data["spec"])["method"].get("name") == "dense"
        and not asked["method"].get("options")
        and all(asked.get(part) == spec.get(part) for part in ("model", "corpus", "decoding", "seed"))
        and spec.get("training") in (None, asked.get("training"))
    ]


def _compared(record: Record, dense: list[Record]) -> str:
    if len(dense) != 1 or dense[0].cell == record.cell:
        return ""
    trained = "the same training" if record.data["spec"].get("training") else "trained, which this is not"
    return f"cell {code(dense[0].cell)}: the same model, data and seed, {trained}, nothing removed"


def _scores(record: Record, choice: str, dense: list[Record]) -> Iterator[Score]:
    """Yield WER and CER of each split.

    Intervals and differences are those of the frame, so that the card says what the leaderboard of the run says; an
    attempt outside of a run folder, or one that a newer attempt has replaced there, has its own interval alone.
    """
    from benchmark.measure.scores import Normalised

    corpus = record.data["spec"]["corpus"]
    normalised = Normalised(choice).of(corpus["language"])
    row = _row(record, choice, dense)
    for split in record.data["data"]:
        yield from _of_split(record, split, normalised, row)


def _row(record: Record, choice: str, dense: list[Record]) -> pd.Series | None:
    """Return the attempt's row in the frame of its run; None where it has none."""
    if not _in_run(record):
        return None

    from benchmark.store.frame import frame

    cells = {record.cell, *(other.cell for other in dense)}
    found = frame(record.path.parents[2], choice, timings=False, cells=cells, problems=[])
    found = found[(found["cell"] == record.cell) & (found["attempt"] == record.attempt)]
    return None if found.empty else found.iloc[0]


def _of_split(record: Record, split: str, normalised: Normalised, row: pd.Series | None) -> Iterator[Score]:
    from benchmark.measure.scores import scored
    from benchmark.store.score import row_of
    from benchmark.store.scoring import column
    from benchmark.whisper.card import Score
    from benchmark.whisper.eval_results import task_of

    corpus = record.data["spec"]["corpus"]
    plugin = REGISTRY.lookup("corpus", corpus["name"])
    own = row_of(scored(record, split, normalised))
    main = "wer" if normalised.normalizer.unit == "word" else "cer"
    for metric in ("wer", "cer"):
        if own[metric] != own[metric]:  # not a number: no reference word in the split
            continue
        counts = {"empty_hypotheses": own["empty_hypotheses"], "runaways": own["runaways"]}
        if metric == main:
            counts |= {key: own[key] for key in ("substitutions", "deletions", "insertions", "length")}
        name = f"{column(split)}_{metric}"
        interval = (own["lo"], own["hi"]) if metric == main else None
        yield Score(
            corpus=corpus["name"],
            version=str(corpus.get("version")),
            language=corpus["language"],
            synthetic=bool(plugin.synthetic),
            split=split,
            metric=metric,
            rate=float(own[metric]),
            signature=_signed(own["signature"], metric, normalised),
            data_hash=own["data_hash"],
            utterances=own["utterances"],
            counts=counts,
            interval=interval if row is None else _numbers(row, f"{name}_lo", f"{name}_hi"),
            difference=None if row is None else _numbers(row, *(f"{name}_delta{end}" for end in ("", "_lo", "_hi"))),
            resampled=str(row[f"{column(split)}_resampled"]) if row is not None else f"{own['utterances']} utterances",
            finished=str(record.data.get("finished") or ""),
            hub=task_of(plugin, corpus, split),
        )


def _numbers(row: pd.Series, *names: str) -> Any:
    """Return the numbers of some columns; None where one is not there."""
    import pandas as pd

    found: tuple[Any, ...] = tuple(row.get(name) for name in names)
    return None if any(pd.isna(value) for value in found) else tuple(float(value) for value in found)


def _signed(signature: str, metric: str, normalised: Normalised) -> str:
    """Return the signature with the metric that stands beside it, and its unit: all else is the same for both."""
    _, _, rest = signature.partition(f"|{normalised.signature}|{normalised.normalizer.unit}|")
    return "|".join((metric, normalised.signature, UNITS[metric], rest))


def _timings(record: Record) -> Iterator[Timing]:
    """Yield the newest timing of this attempt on each device at each batch."""
    from benchmark.store.timings import timings
    from benchmark.whisper.card import Timing

    if not _in_run(record):
        return
    newest: dict[tuple[str, int], dict[str, Any]] = {}
    for found in timings(record.path.parents[2]):  # oldest first
        for row in found["rows"]:
            if (row["cell"], row["attempt"]) == (record.cell, record.attempt):
                newest[found["device"], int(row["batch"])] = row
    for (device, batch), row in sorted(newest.items()):
        yield Timing(
            device=device,
            batch=batch,
            utterances=int(row["utterances"]),
            speedup=row["speedup"],
            speedup_range=(row["speedup_lo"], row["speedup_hi"]),
            rtfx=row["rtfx"],
            rtfx_range=(row["rtfx_lo"], row["rtfx_hi"]),
            encoder_ms=row["encoder_ms"],
            peak_memory=row.get("peak_memory"),
        )
