"""What a profile times and in which order, by a clock that the test turns; real time is never judged."""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from benchmark.errors import SpecError
from benchmark.measure import profile
from benchmark.measure.decoding import Decoding
from benchmark.measure.profile import device_key, interleaved, paired_ratio, profile_models
from tests.tiny import tiny_whisper


class Spelled:
    def batch_decode(self, rows: list[list[int]], skip_special_tokens: bool) -> list[str]:
        return [" ".join(map(str, row)) for row in rows]


def models(*names: str) -> dict[str, tuple[Any, Any]]:
    return {name: (tiny_whisper(seed=number), Spelled()) for number, name in enumerate(names)}


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 8, 40)).astype(np.float16)


def run(these: dict[str, tuple[Any, Any]], windows: int = 5, **options: Any) -> list[dict[str, Any]]:
    decoding = Decoding(batch=options.pop("batch", 2), max_new_tokens=4)
    settings = {"repeats": 3, "seconds": 0.0, **options}
    loaders = {name: lambda one=one: one for name, one in these.items()}
    return profile_models(loaders, "dense", noise(windows), 10.0, language="hi", decoding=decoding, **settings)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int]]]:
    """Replace timing: the k-th dense pass takes 4k seconds, the k-th of an artefact 2k; yields the order of passes."""
    order: list[tuple[str, int]] = []

    def fake(model: Any, _p: Any, _f: Any, _l: str, decoding: Decoding, _d: Any, into: Any) -> None:
        order.append((model.name, decoding.batch))
        pace = 4.0 if model.name == "dense" else 2.0
        into.generate.append(pace * (len(into.generate) + 1))
        into.encoder.append(2 * pace * (len(into.encoder) + 1))
        into.tokens = 7

    monkeypatch.setattr(profile, "_time", fake)
    yield order


def named(*names: str) -> dict[str, tuple[Any, Any]]:
    these = models(*names)
    for name, (model, _) in these.items():
        model.name = name
    return these


def test_artefacts_alternate_with_dense_after_a_warm_up(clock: list[tuple[str, int]]) -> None:
    run(named("dense", "a", "b"), repeats=4, seconds=1e6)
    expected = [(who, batch) for other in "ab" for batch in (1, 2) for _ in range(1 + 4) for who in ("dense", other)]
    assert clock == expected


def test_speed_up_is_the_median_of_paired_ratios(clock: list[tuple[str, int]]) -> None:
    rows = run(named("dense", "a"))
    assert [(row["artefact"], row["batch"]) for row in rows] == [("dense", 1), ("dense", 2), ("a", 1), ("a", 2)]
    ours = rows[3]
    assert (ours["speedup"], ours["speedup_lo"], ours["speedup_hi"], ours["encoder_speedup"]) == (2, 2, 2, 2)
    assert (ours["generate_s"], ours["generate_s_lo"], ours["generate_s_hi"]) == (4, 3, 5)  # of 2, 4, 6
    assert ours["rtfx"] == 10 / 4 and ours["rtfx_lo"] < ours["rtfx"] < ours["rtfx_hi"]
    assert ours["encoder_ms"] == 8000 / 2, "a batch of two windows"
    assert rows[0]["speedup"] == rows[1]["speedup"] == 1


def test_denses_row_is_made_of_all_its_passes(clock: list[tuple[str, int]]) -> None:
    assert [row["repeats"] for row in run(named("dense", "a", "b"))] == [6, 6, 3, 3, 3, 3]


def test_the_time_budget_gives_way_to_three_repeats(clock: list[tuple[str, int]]) -> None:
    assert {row["repeats"] for row in run(named("dense", "a"), repeats=50, seconds=0.0)} == {3}
    assert {row["repeats"] for row in run(named("dense", "a"), repeats=5, seconds=1e6)} == {5}


def test_dense_alone_and_batches_larger_than_the_material(clock: list[tuple[str, int]]) -> None:
    rows = run(named("dense"), windows=1, batch=8)
    assert [(row["artefact"], row["batch"], row["repeats"]) for row in rows] == [("dense", 1, 3)]
    assert clock == [("dense", 1)] * 4


def test_a_real_profile() -> None:
    seen: list[tuple[str, int]] = []
    rows = run(models("dense", "a"), progress=lambda name, done: seen.append((name, done)))
    assert seen == [("a", 1), ("a", 2), ("a", 3)] * 2
    for row in rows:
        assert all(row[f"{name}_lo"] <= row[name] <= row[f"{name}_hi"] for name in ("encoder_ms", "rtfx", "speedup"))
        assert row["rtfx"] == pytest.approx(10.0 / row["generate_s"]) and row["generate_s"] > 0
        assert 5 <= row["tokens"] <= 20 and row["utterances"] == 5
        assert row["device"] == device_key() and row["dtype"] == "float32"


def test_but_for_dense_one_artefact_is_open_at_a_time_and_each_is_opened_once() -> None:
    alive: dict[str, weakref.ref[Any]] = {}
    seen: list[tuple[str, set[str]]] = []

    def opens(name: str) -> tuple[Any, Any]:
        assert name not in alive, "opened twice"
        model = tiny_whisper(seed=len(alive))
        alive[name] = weakref.ref(model)
        seen.append((name, {other for other, one in alive.items() if one() is not None}))
        return model, Spelled()

    names = ("dense", "a", "b", "c")
    loaders = {name: partial(opens, name) for name in names}
    rows = profile_models(
        loaders, "dense", noise(2), 10.0, language="hi", decoding=Decoding(batch=2, max_new_tokens=2), repeats=3
    )
    assert seen == [("dense", {"dense"})] + [(name, {"dense", name}) for name in "abc"]
    assert [row["artefact"] for row in rows] == [name for name in names for _ in range(2)]
    assert all(one() is None for one in alive.values()), "the rows keep no model"


def test_refusals() -> None:
    with pytest.raises(SpecError, match=r"no artefact 'dense'.*a"):
        run(models("a"))
    with pytest.raises(SpecError, match="repeats = 2"):
        run(models("dense"), repeats=2)
    with pytest.raises(SpecError, match="0 windows"):
        run(models("dense"), windows=0)


def test_device_key_is_short_and_says_cores_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "_cpu_name", lambda: "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz")
    key = device_key("cpu")
    assert re.fullmatch(r"cpu-intel-xeon-platinum-8481c-\d+c-t\d+", key) and key == device_key()
    monkeypatch.setattr("torch.cuda.get_device_name", lambda _: "NVIDIA H200")
    assert device_key("cuda:0") == "cuda-nvidia-h200"


def test_any_calls_are_timed_in_turn_and_compared_pair_by_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    now, order = [0.0], []
    pace = {"a": iter([9.0, 1.0, 2.0, 30.0]), "b": iter([9.0, 2.0, 4.0, 3.0])}
    monkeypatch.setattr(profile, "_now", lambda _: now[0])

    def call(name: str) -> None:
        order.append(name)
        now[0] += next(pace[name])

    times = interleaved({name: lambda name=name: call(name) for name in pace}, 3)  # type: ignore[misc]
    assert order == ["a", "b"] * 4, "a warm-up of each first"
    assert times == {"a": [1.0, 2.0, 30.0], "b": [2.0, 4.0, 3.0]}
    assert paired_ratio(times["b"], times["a"]) == 2.0, "one disturbed repeat does not decide"
