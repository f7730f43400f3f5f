"""MAPSSWE is NIST's: against ``sc_stats`` where it is installed, and against a naive walk over the words."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmark.measure.mapsswe import cut, edits, mapsswe, over_seeds, segments

SCTK = os.pathsep.join([os.environ.get("PATH", ""), "/usr/lib/sctk/bin"])


def spoiled(reference: Sequence[str], share: float, tag: str, rng: np.random.Generator) -> list[str]:
    """Return words with errors; what is wrong is in no reference, and no deletion stands by an insertion.

    So there is one best alignment, whatever edits cost.
    """
    said: list[str] = []
    calm = True
    for number, word in enumerate(reference):
        chance = rng.random() / share
        if chance < 0.5:
            said.append(f"{tag}{number}")
        elif chance < 0.75 and calm:
            calm = False
            continue
        elif chance < 1 and calm:
            said += [word, f"{tag}i{number}"]
            calm = False
            continue
        else:
            said.append(word)
        calm = said[-1] == word
    return said


@pytest.fixture(scope="module", params=[1, 2, 3])
def texts(request: pytest.FixtureRequest) -> tuple[list[str], list[str], list[str]]:
    rng = np.random.default_rng(request.param)
    references = [[f"w{number}-{at}" for at in range(rng.integers(6, 25))] for number in range(40)]
    a, b = ([spoiled(words, share, tag, rng) for words in references] for share, tag in ((0.15, "a"), (0.25, "b")))
    return tuple([" ".join(words) for words in some] for some in (references, a, b))  # type: ignore[return-value]


def nist(folder: Path, texts: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return what sc_stats prints of two systems."""
    env = {**os.environ, "PATH": SCTK}
    for name, some in zip(("ref", "a", "b"), texts, strict=True):
        lines = [f"{text} (s{number % 3}-u{number:03d})\n" for number, text in enumerate(some)]
        (folder / f"{name}.trn").write_text("".join(lines))
    aligned = b"".join(
        subprocess.run(
            ["sclite", "-r", "ref.trn", "trn", "-h", f"{name}.trn", "trn", "-i", "swb", "-o", "sgml", "stdout"],
            cwd=folder, env=env, check=True, capture_output=True,
        ).stdout
        for name in ("a", "b")
    )  # fmt: skip
    command = ["sc_stats", "-p", "-t", "mapsswe", "-v", "-n", "ens", "-O", "."]
    subprocess.run(command, cwd=folder, env=env, check=True, input=aligned, capture_output=True)
    told = (folder / "ens.stats.mapsswe").read_text()
    line = next(line for line in told.splitlines() if line.startswith("MTCH_PR_RESULTS"))
    names = {"segments": "# segs", "mean": "mean", "sd": "std dev", "z": "Z Stat"}
    return {key: float(re.search(rf"\({name}: (\S+)\)", line)[1]) for key, name in names.items()}  # type: ignore[index]


@pytest.mark.skipif(shutil.which("sc_stats", path=SCTK) is None, reason="no sc_stats: Debian's sctk has it")
def test_agrees_with_nist(tmp_path: Path, texts: tuple[list[str], list[str], list[str]]) -> None:
    theirs = nist(tmp_path, texts)
    ours = mapsswe(*segments(*texts))
    assert ours.segments == theirs["segments"] > 50
    for name in ("mean", "sd", "z"):
        assert getattr(ours, name) == pytest.approx(theirs[name], abs=6e-4)  # printed with three digits


def test_agrees_with_a_walk_over_the_words(texts: tuple[list[str], list[str], list[str]]) -> None:
    a, b = segments(*texts)
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == walk(*texts)


def test_utterances_count_once_however_many_seeds() -> None:
    rng = np.random.default_rng(0)
    words = [[f"w{number}-{at}" for at in range(rng.integers(6, 25))] for number in range(40)]
    references = [" ".join(some) for some in words]
    said = [[[" ".join(spoiled(some, share, "x", rng)) for some in words] for _ in range(3)] for share in (0.05, 0.06)]
    a, b = ([edits(references, texts) for texts in system] for system in said)
    one = mapsswe(*cut(a[0], b[0]))
    assert over_seeds(a[:1], b[:1]) == one and one.z != 0
    again = over_seeds(a[:1] * 3, b[:1] * 3)
    assert again.segments == one.segments
    assert (again.mean, again.sd, again.z, again.p) == pytest.approx((one.mean, one.sd, one.z, one.p))

    errors = np.array(walk(references, *said[0], *said[1])).reshape(-1, 2, 3).mean(axis=2)
    found = over_seeds(a, b)
    expected = stats.ttest_1samp(errors[:, 0] - errors[:, 1], 0)
    assert (found.segments, found.z) == (len(errors), pytest.approx(expected.statistic))
    with pytest.raises(ValueError, match="3 seeds of A and 2 of B"):
        over_seeds(a, b[:2])
    with pytest.raises(ValueError, match="0 seeds"):
        over_seeds([], [])


def walk(references: Sequence[str], *systems: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the errors of each system by segment, found word by word."""
    found: list[tuple[int, ...]] = []
    nothing = [0] * len(systems)
    for reference, *said in zip(references, *systems, strict=True):
        words = reference.split()
        wrong = [errors_by_place(words, text.split()) for text in said]
        good, open_, segment = 2, False, nothing
        for place in range(2 * len(words) + 1):
            here = [one.get(place, 0) for one in wrong]
            if any(here):
                if not open_ or good >= 2:
                    found += [tuple(segment)] if open_ else []
                    segment = nothing
                segment = [before + now for before, now in zip(segment, here, strict=True)]
                good, open_ = 0, True
            elif place % 2:
                good += 1
        found += [tuple(segment)] if open_ else []
    return found


def errors_by_place(words: Sequence[str], said: Sequence[str]) -> dict[int, int]:
    """Return errors by place (2 i + 1: word i, 2 i: before it), as all words of a reference are different here."""
    found: dict[int, int] = {}
    heard = {word: at for at, word in enumerate(said)}
    last, missing = -1, []
    for number, word in enumerate([*words, None]):
        if word is not None and word not in heard:
            missing.append(number)
            continue
        at = len(said) if word is None else heard[word]
        extra = at - last - 1
        for place in missing:
            found[2 * place + 1] = 1
        if extra > len(missing):
            found[2 * number] = extra - len(missing)
        last, missing = at, []
    return found


def test_p_is_that_of_the_normal_distribution() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, 300), rng.integers(0, 5, 300)
    found = mapsswe(a, b)
    difference = a - b
    assert found.z == pytest.approx(stats.ttest_1samp(difference, 0).statistic)
    assert found.p == pytest.approx(2 * stats.norm.cdf(-abs(found.z)))
    swapped = mapsswe(b, a)
    assert (swapped.z, swapped.p) == pytest.approx((-found.z, found.p))


def test_words_that_bound_a_segment() -> None:
    reference = "a b c d e f g h"
    assert [side.tolist() for side in segments([reference], ["x b c d e f g h"], ["a b y d e f g h"])] == [[1], [1]]
    assert [side.tolist() for side in segments([reference], ["x b c d e f g h"], ["a b c y e f g h"])] == [
        [1, 0],
        [0, 1],
    ]
    inserted = segments([reference], ["a b x c d e f g h"], ["a b c d e f g"])
    assert [side.tolist() for side in inserted] == [[1, 0], [0, 1]]


def test_nothing_to_tell_apart() -> None:
    same = mapsswe(*segments(["a b c", ""], ["a c", "x"], ["a c", "x"]))
    assert (same.segments, same.p) == (2, 1.0)
    assert segments([], [], [])[0].shape == (0,) and mapsswe(*segments(["a"], ["a"], ["a"])).p == 1.0
    alone = mapsswe(*segments(["a b c"], ["a b"], ["a b c"]))
    assert alone.segments == 1 and np.isnan(alone.p)
    with pytest.raises(ValueError, match="do not go together"):
        mapsswe(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="shorter"):
        segments(["a", "b"], ["a"], ["a", "b"])
