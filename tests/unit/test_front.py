"""Pareto fronts, and the artefacts that are deleted because they are not on one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.errors import StoreError
from benchmark.store.folders import MARKER, keep_spec, kept_specs
from benchmark.store.frame import frame
from benchmark.store.front import drop_artefacts, front_cells, hypervolume, non_dominated, own_fronts, staircase
from benchmark.store.merging import merge
from benchmark.store.records import MODEL, latest
from tests.fake_runs import commit, make, ok_data, spec


def test_the_front_is_that_of_a_naive_loop() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        points = rng.integers(0, 8, (rng.integers(1, 25), 2)).astype(float)  # a coarse grid, so that ties abound
        naive = [not any((q <= p).all() and (q < p).any() for q in points) for p in points]
        assert non_dominated(points[:, 0], points[:, 1]).tolist() == naive


def test_ties_stay_on_the_front_together() -> None:
    assert non_dominated([1, 1, 2], [3, 3, 3]).tolist() == [True, True, False]


def _sweep(points: np.ndarray, corner: tuple[float, float]) -> float:
    """The area that points dominate inside the corner: strips between neighbours, each under the best so far."""
    inside = sorted((x, y) for x, y in points if x < corner[0] and y < corner[1])
    area, lowest = 0.0, corner[1]
    for at, (x, y) in enumerate(inside):
        lowest = min(lowest, y)
        end = inside[at + 1][0] if at + 1 < len(inside) else corner[0]
        area += (end - x) * (corner[1] - lowest)
    return area / (corner[0] * corner[1])


def test_hypervolume_is_that_of_a_naive_sweep() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        points = rng.integers(0, 12, (rng.integers(0, 20), 2)).astype(float)
        assert hypervolume(points[:, 0], points[:, 1], (10, 9)) == pytest.approx(_sweep(points, (10, 9)))
    assert hypervolume([0.0], [0.0], (3, 4)) == 1.0
    assert hypervolume([3.0, 1.0], [1.0, 4.0], (3, 4)) == 0.0  # as bad as the reference in one
    assert hypervolume([1.0, 1.0], [1.0, 1.0], (2, 2)) == 0.25  # ties count once


@pytest.mark.parametrize(("x", "corner"), [([1.0], (0, 1)), ([1.0], (1, np.inf)), ([-1.0], (1, 1)), ([np.nan], (1, 1))])
def test_a_hypervolume_of_nonsense_is_refused(x: list[float], corner: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"reference|not a number"):
        hypervolume(x, [0.5], corner)


def test_own_fronts_are_those_of_each_owner_alone() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 6, (2, 60)).astype(float)
    owners = rng.choice(["a", "b", "c"], 60)
    found = own_fronts(x, y, owners)
    for owner in "abc":
        mine = owners == owner
        assert found[mine].tolist() == non_dominated(x[mine], y[mine]).tolist()


def test_a_staircase_divides_what_is_reached_from_what_is_not() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        points = rng.integers(0, 9, (rng.integers(1, 15), 2)).astype(float)
        x, y = staircase(points[:, 0], points[:, 1], 10.0)
        assert (np.diff(x) > 0).all()
        assert x[-1] == 10.0
        for at in rng.uniform(points[:, 0].min(), 10, 20):
            best = points[points[:, 0] <= at, 1].min()
            assert y[np.searchsorted(x, at, side="right") - 1] == best
    assert [len(part) for part in staircase([], [], 1.0)] == [0, 0]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make(tmp_path / "run")


def test_front_cells_are_those_of_a_naive_loop_in_each_block(run: Path) -> None:
    table = frame(run, normalizer="identity")
    done = table[table["status"] == "ok"]
    expected: set[str] = set()
    for block, cost in (("mask", "params_nominal"), ("stored", "params_stored")):
        race = done[done["block"].isin([block, "reference"])]
        for _, one in race.iterrows():
            beaten = (
                (race[cost] <= one[cost])
                & (race["test_wer"] <= one["test_wer"])
                & ((race[cost] < one[cost]) | (race["test_wer"] < one["test_wer"]))
            )
            expected |= set() if beaten.any() else {one["cell"]}
    assert front_cells(table) == expected
    assert 0 < len(expected) < len(done)
    with pytest.raises(StoreError, match="needs scores"):
        front_cells(frame(run))


def test_cells_of_another_recipe_are_another_front(run: Path) -> None:
    longer = spec("random", "prunable_nominal", 0.8, training={"steps": 999, "batch": 16, "learning_rate": 2e-4})
    poor = commit(run, ok_data(longer, nominal=0.8), 0.9)
    assert poor.cell in front_cells(frame(run, normalizer="identity"))


@pytest.mark.parametrize("keep", ["all", "front", "none"])
def test_artefacts_that_are_not_wanted_are_deleted(run: Path, keep: str) -> None:
    table = frame(run, normalizer="identity")
    cells = set(table["cell"])
    front = {"all": cells, "front": front_cells(table), "none": set()}[keep]
    spared = next(record for record in latest(run) if record.ok and record.cell not in front_cells(table))
    dropped = drop_artefacts(run, cells - {spared.cell}, keep, "identity")  # type: ignore[arg-type]
    assert (spared.path / MODEL).exists()  # no cell of this spec
    for record in latest(run):
        if record.ok and record.cell != spared.cell:
            assert (record.path / MODEL).exists() == (record.cell in front)
            assert (record.cell in dropped) == (record.cell not in front)
    assert drop_artefacts(run, cells - {spared.cell}, keep, "identity") == []  # type: ignore[arg-type]
    assert frame(run, normalizer="identity").equals(table)


# --- the specs that a folder remembers ----------------------------------------------------------------------------


def test_a_spec_is_kept_once_and_merged(tmp_path: Path) -> None:
    one, other = make(tmp_path / "one", keeps=()), make(tmp_path / "other", keeps=())
    asked = {"normalizer": "hindi", "seeds": [0]}
    assert keep_spec(one, asked, ["a"]) == keep_spec(one, asked, ["a"])
    keep_spec(other, {**asked, "seeds": [1]}, ["b"])
    merge([one, other], tmp_path / "both")
    assert sorted(kept["seeds"] for kept in kept_specs(tmp_path / "both")) == [[0], [1]]
    assert (tmp_path / "both" / MARKER).exists()


def test_a_broken_kept_spec_is_named(tmp_path: Path) -> None:
    run = make(tmp_path / "run", keeps=())
    path = keep_spec(run, {"normalizer": "hindi"}, [])
    path.write_text(path.read_text()[:20])
    with pytest.raises(StoreError, match=path.name):
        kept_specs(run)
    path.write_text('{"format": 1}')
    with pytest.raises(StoreError, match="holds no spec"):
        kept_specs(run)
