"""The prefix tree: what is shared, what a hash depends on, and which programs are refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from benchmark.api import Budget, Fit, Method, Rewind, Step
from benchmark.errors import SpecError
from benchmark.harness.batches import stream_order
from benchmark.harness.tree import checked_program, grow
from benchmark.spec_files import load_spec
from benchmark.specs import Leaderboard, digest
from methods.imp import rounds


def default() -> Leaderboard:
    return load_spec("default")


def test_the_default_has_23_rows_and_sharing_saves_a_third() -> None:
    tree = grow(default())
    assert len(tree.cells) == 23
    assert len({path.cell.id for path in tree.cells}) == 23
    assert tree.steps_unshared == 22 * 120
    assert tree.saving >= 1 / 3


def test_every_cell_that_trains_trains_equally_long() -> None:
    for path in grow(default()).cells:
        assert path.steps == (0 if path.cell.method.name == "shipped" else 120)


def test_one_shot_methods_and_dense_share_their_trunk_and_imp_its_chain() -> None:
    cells = grow(default()).cells
    first = {path.nodes[0] for path in cells if path.nodes and path.cell.method.name != "sgl_adaptive"}
    assert len(first) == 1
    imp = {path.cell.budget.keep: path for path in cells if path.cell.method.name == "imp"}
    shared = set(imp[0.4].nodes) & set(imp[0.6].nodes)
    assert len(shared) == len(imp[0.6].nodes) - 1


def test_normalizer_and_folders_are_no_part_of_an_id_and_the_seed_is() -> None:
    spec = default()
    ids = [path.cell.id for path in grow(spec).cells]
    other = spec.model_copy(update={"normalizer": "identity", "name": "other", "profile": None})
    assert [path.cell.id for path in grow(other).cells] == ids
    seeded = spec.model_copy(update={"seeds": [1]})
    assert not set(ids) & {path.cell.id for path in grow(seeded).cells}


def test_golden_digest_of_a_step() -> None:
    assert digest(Fit(steps=3)) == digest({"is": "Fit", "steps": 3})
    assert digest(Fit(steps=3))[:16] == "a67f8b1352a1080f"


@pytest.mark.parametrize(("keep", "levels"), [(0.8, 2), (0.6, 3), (0.4, 6), (0.95, 1)])
def test_imp_rounds_end_at_the_budget(keep: float, levels: int) -> None:
    chain = rounds(keep, 0.85)
    assert len(chain) == levels
    assert chain[-1] == keep
    assert all(a > b for a, b in itertools.pairwise(chain))


class _Wrong(Method):
    name = "wrong"
    budgets = frozenset({"none"})
    yields: tuple[Step, ...] = ()

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        yield from self.yields


def test_a_program_that_breaks_its_contract_is_refused() -> None:
    method = _Wrong()
    method.yields = (Fit(steps=3),)
    with pytest.raises(SpecError, match=r"trains 3 steps, but every cell .* trains 5"):
        checked_program("wrong", method, Budget(), 5)
    method.yields = (Fit(steps=3), Rewind(to_step=2), Fit(steps=2))
    with pytest.raises(SpecError, match="rewinds to path step 2, where no Fit ended; possible: 0, 3"):
        checked_program("wrong", method, Budget(), 5)


def test_what_a_step_refuses_is_one_line() -> None:
    class Steps(_Wrong):
        def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
            yield Fit(steps=-1)

    with pytest.raises(SpecError, match=r"^method 'wrong': Fit\.steps = -1: [^\n]*$"):
        checked_program("wrong", Steps(), Budget(), 5)


def test_the_batch_at_a_path_step_depends_on_seed_and_step_alone() -> None:
    whole = stream_order(utterances=7, batch=3, seed=5, start=0, steps=10)
    assert whole.shape == (30,)
    for start, steps in ((0, 4), (4, 6), (7, 2)):
        part = stream_order(7, 3, 5, start, steps)
        np.testing.assert_array_equal(part, whole[start * 3 : (start + steps) * 3])
    assert sorted(whole[:7]) == list(range(7))
    assert not np.array_equal(whole, stream_order(7, 3, 6, 0, 10))
