"""What the test at the end of a study says: the best trial against the default, whatever the sign."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmark.markdown import plain
from studies._canvas import View
from studies._effects import SIGNIFICANT
from studies._outcomes import REBUILT, settled
from studies._tables import interval, markdown_table, resampled

FEWER, MORE = "fewer errors than the default", "more errors than the default"
NEITHER = "no difference to the default that could be told from chance"


def tested(view: View, final: Mapping[str, Any] | None, met: Sequence[int]) -> Iterator[str]:
    """Yield what the test at the end said, or why there was none; ``met``: after how many trials one was ever made."""
    before = _before(view, met)
    if final is None:
        why = "the spec has test: null" if view.spec.test is None else ""
        why = why or ("there is nothing to test" if not view.best else "it has not been made yet")
        yield " ".join(filter(None, (f"No test: {why}.", before)))
        return
    for line in verdicts(final):
        yield f"**{plain(line)}.**"
    rows = []
    for one in final["entries"]:
        if one["failure"]:
            rows.append((one["name"], "failed", one["failure"], ""))
            continue
        low, high = 100 * min(one["rates"]), 100 * max(one["rates"])
        gain = one.get("difference")
        shown = "" if gain is None else f"{_points(gain)}, {_p(gain)}"
        rows.append((one["name"], f"{100 * one['mean']:.2f}", f"{low:.2f} to {high:.2f}", shown))
    ok = [one for one in final["entries"] if not one["failure"]]
    metric = ok[0]["metric"].upper() if ok else "error"
    seeds = f"lowest and highest of {len(final['seeds'])} seed(s)"
    yield markdown_table(("", f"{metric} on {final['split']}, %", seeds, "against the default, points [95 %]"), rows)
    if ok:
        yield (
            f"{final['steps']} training steps each, seeds {', '.join(map(str, final['seeds']))}, {ok[0]['utterances']} "
            f"utterances; signature {ok[0]['signature']}. Intervals: {final['resamples']:,} paired resamples of "
            f"{resampled(len(final['seeds']))}{', crossed' if len(final['seeds']) > 1 else ''}.{_family(ok)} "
            f"{before or 'The test was made once, after the last trial.'}"
        )


def _before(view: View, met: Sequence[int]) -> str:
    """Return when the test split was met before; a study may have gone on after a test."""
    earlier = [number for number in met if number < len(settled(view.trials))]
    if earlier:
        return f"It was tested before, after {' and '.join(map(str, earlier))} trials, and went on: that test was seen."
    if any(trial.user_attrs.get(REBUILT) for trial in view.trials):
        return "Whether it was tested before is not known: the study was rebuilt from its records."
    return ""


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
    """Return which way a difference is, if it is one; of several that were tested after the correction."""
    if gain.get("p_holm", 0.0) >= SIGNIFICANT:
        return NEITHER
    return FEWER if gain["hi"] < 0 else MORE if gain["lo"] > 0 else NEITHER


def _p(gain: Mapping[str, float]) -> str:
    corrected = f", corrected {gain['p_holm']:.3g}" if "p_holm" in gain else ""
    return f"p = {gain['p']:.3g}{corrected}"


def _family(entries: Sequence[Mapping[str, Any]]) -> str:
    count = sum("p_holm" in one.get("difference", ()) for one in entries)
    return f" p corrected for {count} trials of the front (Holm); intervals are not." if count else ""


def _points(gain: Mapping[str, float]) -> str:
    return interval(gain["difference"], gain["lo"], gain["hi"])
