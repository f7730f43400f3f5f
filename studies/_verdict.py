"""What the test at the end of a study says: the best trial against the default, whatever the sign."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from studies._canvas import View

FEWER, MORE = "fewer errors than the default", "more errors than the default"
NEITHER = "no difference to the default that could be told from chance"


def tested(view: View, final: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield what the test at the end said, or why there was none."""
    if final is None:
        why = "the spec has test: null" if view.spec.test is None else ""
        why = why or ("there is nothing to test" if not view.best else "it has not been made yet")
        yield f"No test: {why}."
        return
    for line in verdicts(final):
        yield f"**{line}.**"
    rows = []
    for one in final["entries"]:
        if one["failure"]:
            rows.append((one["name"], "failed", one["failure"], ""))
            continue
        low, high = 100 * min(one["rates"]), 100 * max(one["rates"])
        gain = one.get("difference")
        shown = "" if gain is None else f"{_points(gain)}, p = {gain['p']:.3g}"
        rows.append((one["name"], f"{100 * one['mean']:.2f}", f"{low:.2f} to {high:.2f}", shown))
    ok = [one for one in final["entries"] if not one["failure"]]
    metric = ok[0]["metric"].upper() if ok else "error"
    seeds = f"lowest and highest of {len(final['seeds'])} seed(s)"
    yield table(("", f"{metric} on {final['split']}, %", seeds, "against the default, points [95 %]"), rows)
    if ok:
        yield (
            f"{final['steps']} training steps each, seeds {', '.join(map(str, final['seeds']))}, {ok[0]['utterances']} "
            f"utterances; signature {ok[0]['signature']}. Intervals: {final['resamples']:,} paired resamples of "
            f"{_resampled(final)}{_before(final)}"
        )


def _resampled(final: Mapping[str, Any]) -> str:
    if len(final["seeds"]) > 1:
        return "utterances and seeds, crossed."
    return "utterances: they are about these trained models, and say nothing of other seeds."


def _before(final: Mapping[str, Any]) -> str:
    """Return when the test split was met before, if the study went on after a test."""
    earlier = [str(trials) for trials in final.get("tested_at", [])[:-1]]
    if not earlier:
        return " The test was made once, after the last trial."
    return f" The test had been made before, after {' and '.join(earlier)} trials, and the study went on after it."


def verdicts(final: Mapping[str, Any]) -> list[str]:
    """Return what the test says of the best trial, or of the front as a whole, against the default."""
    entries = {one["name"]: one for one in final["entries"]}
    default, split = entries["default"], final["split"]
    if final["best"]:
        return [_verdict(entries[final["best"]], default, split)]
    tested = [one for one in final["entries"] if one["name"].startswith("trial ")]
    failed = [one for one in (*tested, default) if one["failure"]]
    said = [_told(one["difference"]) for one in tested if one.get("difference")]
    counts = ", ".join(f"{said.count(what)} {what}" for what in (FEWER, MORE, NEITHER) if what in said)
    lines = [f"On {split}, of {len(tested)} trials of the front, by their errors alone: {counts}"] if said else []
    return lines + [f"On {split}, {one['name']} failed ({one['failure']})" for one in failed]


def _verdict(one: Mapping[str, Any], default: Mapping[str, Any], split: str) -> str:
    failed = [f"{told['name']} failed ({told['failure']})" for told in (one, default) if told["failure"]]
    if failed:
        return f"On {split}, {one['name']} cannot be compared with the default: {'; '.join(failed)}"
    rates = f"{100 * one['mean']:.2f} % against {100 * default['mean']:.2f} %"
    if one["cells"] == default["cells"]:
        return f"On {split}, {one['name']} is the default configuration ({100 * one['mean']:.2f} %)"
    gain = one["difference"]
    return f"On {split}, {one['name']} has {rates}: {_points(gain)} points, {_told(gain)}"


def _told(gain: Mapping[str, float]) -> str:
    return FEWER if gain["hi"] < 0 else MORE if gain["lo"] > 0 else NEITHER


def _points(gain: Mapping[str, float]) -> str:
    shown = "{:+.2f} [{:+.2f}, {:+.2f}]".format(*(100 * gain[key] for key in ("difference", "lo", "hi")))
    return shown.replace("-", "−")


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as a table in Markdown."""
    cells = [[" ".join(str(cell).split()).replace("|", "\\|") for cell in row] for row in rows]
    return str(pd.DataFrame(cells, columns=list(headings)).to_markdown(index=False, disable_numparse=True))
