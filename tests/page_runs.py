"""A run folder with all that a leaderboard page must show or survive; invented, as ``tests.fake_runs``.

``python -m tests.page_runs FOLDER`` writes one to look at.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmark.store.naming import short_hash
from benchmark.store.records import Attempt
from tests.fake_runs import commit, fail, make, ok_data, sentences, spec

HOSTILE = "hostile"
SCRIPT = "</script><script>window.harmed = 1</script><img src=x onerror='window.harmed = 2'>"
SPLITS = {"test": 80, "test-unseen-voice": 40}


def make_all(run: Path) -> Path:
    """Fill ``run``: finished, failed and stopped cells, an entry with two of three seeds, and hostile transcripts."""
    make(run, keeps=(0.8, 0.4))
    for seed in (1, 2):
        cell = spec("magnitude", "prunable_nominal", 0.8, seed=seed)
        if seed == 1:
            commit(run, ok_data(cell, nominal=0.8), 0.06)
        else:
            fail(run, cell, "out of memory")
    stop(run)
    commit_hostile(run)
    return run


def stop(run: Path) -> None:
    """Write a cell that a study stopped."""
    cell = spec("taylor", "prunable_stored", 0.8)
    data = {
        "status": "pruned",
        "spec": cell,
        "seconds": 3.0,
        "stopped": {"at": 80, "of": 120, "reason": "worse than the median"},
        "watched": {"split": "dev", "utterances": 8, "signature": "wer", "values": [[40, 0.5], [80, 0.4]]},
    }
    Attempt.create(run, short_hash(cell) * 2, cell).commit(data)


def hostile_texts() -> list[str]:
    """Return hypotheses of the split ``test`` that would harm a careless page."""
    texts = sentences("test", SPLITS["test"])
    texts[0] = "a" * 1_000_000
    texts[1] = SCRIPT
    texts[2] = f"\u202eright to left override \u2066 {texts[2]} \x00\x07\x1b[31m \x85"
    texts[3] = "שלום עולם مرحبا بالعالم"
    texts[4] = "a" + "\u0301" * 500 + "<!--"
    texts[5] = "\u2028\u2029&lt;b&gt; ]]> {{ 7 * 7 }} ${alert(1)}"
    return texts


def commit_hostile(run: Path) -> None:
    """Write a cell whose method's options and whose transcripts are hostile."""
    cell = spec("imp", "prunable_nominal", 0.8)
    cell["method"] = {"name": HOSTILE, "options": {"note": SCRIPT}}
    data = ok_data(cell, nominal=0.8)
    attempt = Attempt.create(run, short_hash(cell) * 2, cell)
    for split, count in SPLITS.items():
        texts = sentences(split, count)
        columns = {
            "id": [f"{split}-{number}" for number in range(count)],
            "speaker": ["fake"] * count,
            "reference": texts,
            "hypothesis": hostile_texts() if split == "test" else texts,
        }
        name = attempt.write_transcripts("fake-hi", "hi", split, columns)
        data["data"][split] = {"hash": short_hash([split, count, ""]), "utterances": count, "transcripts": name}
    attempt.commit(data)


if __name__ == "__main__":
    print(make_all(Path(sys.argv[1])))
