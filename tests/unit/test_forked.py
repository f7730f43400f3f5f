"""Work that is shared by forked processes: the same results in the same order, and errors as they were raised."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmark import forked as module
from benchmark.errors import PrunebenchError, SpecError
from benchmark.forked import forked


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 2)


def test_results_are_in_order_and_made_elsewhere_from_objects_that_no_pickle_could_carry() -> None:
    items: list[Callable[[], int]] = [lambda number=number: number**2 for number in range(20)]  # type: ignore[misc]
    found = list(forked(lambda item: (item(), os.getpid()), items))
    assert [result for result, _ in found] == [number**2 for number in range(20)]
    assert os.getpid() not in {process for _, process in found}


@pytest.mark.parametrize("items", [range(20), range(1), range(0)])
def test_small_work_is_done_here(items: range) -> None:
    large = len(items) < 2
    assert set(forked(lambda _: os.getpid(), items, large=large)) <= {os.getpid()}


def test_an_error_is_the_one_that_was_raised() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise SpecError("number 3 cannot be used; give another")
        return number

    results: Iterator[Any] = forked(work, range(6))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(SpecError, match=r"^number 3 cannot be used; give another$"):
        next(results)


def test_a_process_that_shares_its_own_work_does_not_fork_again() -> None:
    def work(_: int) -> bool:
        return set(forked(lambda _: os.getpid(), range(3))) == {os.getpid()}

    assert list(forked(work, range(2))) == [True, True]


def test_a_killed_process_is_told() -> None:
    with pytest.raises(PrunebenchError, match="a process was killed"):
        list(forked(lambda _: os._exit(9), range(2)))
