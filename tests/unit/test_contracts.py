"""The contract checks find each broken promise: a check that nothing can fail would promise nothing."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

import pytest
import torch
from pydantic import BaseModel, Field, field_validator, model_validator

from benchmark import contracts
from benchmark.api import Budget, Calibrate, Config, Fit, Method, MethodConfig, Prune, Rule, Step
from benchmark.errors import BudgetMissedError, SpecError
from benchmark.pruning.applying import Pruned, prune_
from benchmark.pruning.groups import GroupRule, L1Groups, per_member
from benchmark.pruning.propagation import compacted
from benchmark.pruning.weights import RandomColumns
from benchmark.registry import REGISTRY
from benchmark.search import Search
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Group, Structure
from benchmark.whisper.surgery import shrink
from benchmark.whisper.view import View

HALF = Budget(kind="prunable_stored", keep=0.5)


class Good(Method):
    """Attention heads and FFN neurons go by their L1 norm: a method that keeps every promise."""

    name = "tried"
    Config = MethodConfig
    budgets = frozenset({"none", "prunable_stored"})
    rule: ClassVar[type[Rule]] = L1Groups

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        before = self.before(self.config.split, total_steps)
        yield Fit(steps=before)
        if budget.keep is not None:
            yield Prune(rule=self.rule(budget=budget))
        yield Fit(steps=total_steps - before)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch):
    """Register a method for this test alone."""

    def register(plugin: type[Method]) -> None:
        plugin.name = "tried"
        monkeypatch.setitem(REGISTRY._plugins, "method", {**REGISTRY._of("method"), "tried": plugin})

    return register


def test_a_good_method_keeps_every_promise(tried) -> None:
    tried(Good)
    assert [str(budget) for budget in contracts.budgets("tried", (0.9, 0.6))] == [
        *("none", "prunable_stored@0.9", "prunable_stored@0.6")
    ]
    threads = torch.get_num_threads()
    contracts.check_method("tried", keeps=(0.5,), split=0.25)
    assert torch.get_num_threads() == threads


def test_the_checks_need_no_torch_until_something_is_pruned() -> None:
    code = (
        "import sys; from benchmark import contracts; contracts.check_card('imp'); contracts.check_config('imp')\n"
        "contracts.check_program('imp', contracts.budgets('imp')[0])\n"
        "print([name for name in ('torch', 'pytest') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- programs -----------------------------------------------------------------------------------------------------


def test_a_program_that_differs_from_call_to_call(tried) -> None:
    class Moody(Good):
        calls = itertools.count(1)

        def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
            first = next(self.calls)
            yield Fit(steps=first)
            yield Fit(steps=total_steps - first)

    tried(Moody)
    with pytest.raises(AssertionError, match=r"tried: two calls of program\(\) for 100 steps under none differ"):
        contracts.check_program("tried", Budget())


def test_a_program_that_trains_too_little_or_never_ends(tried) -> None:
    class Lazy(Good):
        def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
            yield Fit(steps=total_steps // 2)
            yield Fit(steps=total_steps // 2)

    class Endless(Good):
        def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
            yield from itertools.repeat(Fit(steps=1))

    tried(Lazy)
    with pytest.raises(SpecError, match="trains 96 steps, but every cell of a leaderboard trains 97"):
        contracts.check_program("tried", Budget())
    tried(Endless)
    with pytest.raises(SpecError, match="is it finite"):
        contracts.check_program("tried", Budget())


def test_a_program_that_trains_after_pruning_although_all_steps_were_to_come_before(tried) -> None:
    class Deaf(Good):
        def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
            yield from (Fit(steps=1), Prune(rule=L1Groups(budget=budget)), Fit(steps=total_steps - 1))

    class Refuses(Deaf):
        def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
            if self.config.split == 1:
                raise SpecError("tried: there are rounds after the first Prune")
            yield from super().program(budget, total_steps)

    class WithoutSplit(Deaf):
        Config = Config

    class NeverOne(MethodConfig):
        split: float = Field(default=0.5, gt=0, lt=1, description="never 1")

    class CannotBeOne(Deaf):
        Config = NeverOne

    class OneMore(Good):
        def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
            before = self.before(self.config.split, total_steps)
            yield from (Fit(steps=before), Prune(rule=L1Groups(budget=budget)))
            yield Fit(steps=max(1, total_steps - before))

    tried(OneMore)
    with pytest.raises(SpecError, match="trains 101 steps, but every cell of a leaderboard trains 100"):
        contracts.check_program("tried", HALF)
    tried(Deaf)
    with pytest.raises(AssertionError, match=r"trains after the last Prune under prunable_stored@0\.5 although split"):
        contracts.check_program("tried", HALF)
    for good in (Refuses, WithoutSplit, CannotBeOne):
        tried(good)
        contracts.check_program("tried", HALF)


# --- pruning ------------------------------------------------------------------------------------------------------


class Dice(GroupRule):
    """Draws from the global generator."""

    def scores(self, view: View, group: Group) -> torch.Tensor:
        return torch.rand(group.count).double()


class Scribbles(L1Groups):
    """Rewrites a weight at random."""

    def rewrite(self, view: View, plan: Plan) -> Mapping[str, torch.Tensor]:
        name = view.structure.matrices[0].name
        return {name: torch.rand(view.structure.matrices[0].shape)}


class TooMuch(L1Groups):
    """Keeps more than it was asked for, and holds itself to that."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "budget": Budget(kind="prunable_stored", keep=0.9)})


class ClaimsRanks(Rule):
    """Says that matrices are of a rank that they are not of."""

    def decide(self, view: View) -> Plan:
        return Plan(ranks={view.structure.matrices[0].name: 3})


class NeedsStatistics(GroupRule):
    """Ranks by what a Calibrate step gathers."""

    def scores(self, view: View, group: Group) -> torch.Tensor:
        inputs = view.statistic("input_square", view.structure.matrices_of(group.key)[0].name)
        return per_member(view, group, "abs") * inputs.mean()


@pytest.mark.parametrize(
    ("rule", "budget", "error", "said"),
    [
        (Dice, HALF, AssertionError, "two plans at equal seeds .* differ"),
        (Scribbles, HALF, AssertionError, r"rewrites model\.encoder\..*q_proj\.weight differently at equal seeds"),
        (TooMuch, HALF, BudgetMissedError, r"prunable_stored@0\.5 missed"),
        (ClaimsRanks, Budget(), AssertionError, r"planned at rank 3, but what its rule's rewrite\(\) left"),
    ],
)
def test_a_rule_that_breaks_a_promise(tried, rule: type[Rule], budget: Budget, error: type, said: str) -> None:
    class Ruled(Good):
        def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
            yield Fit(steps=1)
            yield Prune(rule=rule(budget=budget))
            yield Fit(steps=total_steps - 1)

    tried(Ruled)
    with pytest.raises(error, match=said):
        contracts.check_pruning("tried", budget)


def test_statistics_do_not_outlive_a_fit(tried) -> None:
    class Late(Good):
        rule = NeedsStatistics

        def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
            steps = list(super().program(budget, total_steps))
            asked = Calibrate(utterances=4, statistics=("input_square",))
            yield from (asked, *steps) if self.config.split < 0.5 else (steps[0], asked, *steps[1:])

    tried(Late)
    contracts.check_pruning("tried", HALF)
    with pytest.raises(SpecError, match="no statistic 'input_square'"):
        contracts.check_pruning("tried", HALF, split=0.25)


def test_surgery_that_changes_what_is_computed(tried, monkeypatch: pytest.MonkeyPatch) -> None:
    def clumsy(model: Any, plan: Plan) -> Any:
        small = shrink(model, plan)
        with torch.no_grad():
            small.model.decoder.layers[0].fc1.bias += 1e-6
        return small

    tried(Good)
    monkeypatch.setattr("benchmark.whisper.surgery.shrink", clumsy)
    with pytest.raises(AssertionError, match="logits of the shrunk model are off"):
        contracts.check_pruning("tried", HALF)


def test_a_prune_that_gives_back(tried, monkeypatch: pytest.MonkeyPatch) -> None:
    class Twice(Good):
        def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
            prune = Prune(rule=L1Groups(budget=budget))
            yield from (Fit(steps=1), prune, prune, Fit(steps=total_steps - 1))

    def forgets(rule: Rule, view: View, model: Any) -> Pruned:
        return prune_(rule, view, model) if not view.plan.kept else Pruned(Plan(), Plan())

    tried(Twice)
    contracts.check_pruning("tried", HALF)
    monkeypatch.setattr("benchmark.pruning.applying.prune_", forgets)
    with pytest.raises(AssertionError, match="gives back what an earlier one took away"):
        contracts.check_pruning("tried", HALF)


# --- options and card ---------------------------------------------------------------------------------------------


class Halved(MethodConfig):
    """Changes what it is given."""

    strength: float = Field(default=1.0, description="halved whenever it is read")

    @field_validator("strength")
    @classmethod
    def _half(cls, value: float) -> float:
        return value / 2


class Mute(MethodConfig):
    """Has an option without a description."""

    strength: float = 1.0


class Loose(Config, extra="ignore"):
    """Takes any option."""


class Untyped(BaseModel):
    """Is not ours."""

    @classmethod
    def parse(cls, options: Mapping[str, Any], where: str) -> Untyped:
        return cls()


@pytest.mark.parametrize(
    ("config", "options", "said"),
    [
        (Halved, {"strength": 4.0}, "options change when they are dumped"),
        (Mute, {}, "option 'strength' has no description"),
        (Loose, {}, "an unknown option is taken"),
        (Untyped, {}, r"Config is Untyped, which is no benchmark\.api\.Config"),
    ],
)
def test_options_that_break_a_promise(tried, config: Any, options: dict[str, float], said: str) -> None:
    tried(type("Optioned", (Good,), {"Config": config, "__doc__": Good.__doc__}))
    with pytest.raises(AssertionError, match=f"tried: {said}"):
        contracts.check_config("tried", **options)


class Rules(MethodConfig):
    """Options with ranges that are all right: the one that does not go with the default is not a usual one."""

    low: Annotated[float, Search(0.0, 1.0)] = Field(default=0.5, ge=0, le=1, description="a number")
    count: Annotated[int, Search(1, 8, log=True)] = Field(default=2, ge=1, description="a whole number")
    kind: Annotated[Literal["a", "b"], Search(usual=False)] = Field(default="a", description="b needs a count of 1")

    @model_validator(mode="after")
    def _b_goes_with_one(self) -> Rules:
        if self.kind == "b" and self.count != 1:
            raise ValueError("kind = b needs count = 1")
        return self


class TooWide(Rules):
    """A study would run into the limits of the option."""

    low: Annotated[float, Search(0.0, 2.0)] = Field(default=0.5, ge=0, le=1, description="a number")


class TooWideIfNamed(Rules):
    """The same, only where a study names it."""

    low: Annotated[float, Search(0.0, 2.0, usual=False)] = Field(default=0.5, ge=0, le=1, description="a number")


class Clash(Rules):
    """A usual choice that another option forbids."""

    kind: Annotated[Literal["a", "b"], Search()] = Field(default="a", description="b needs a count of 1")


class Halves(Rules):
    """Whole numbers from a half on."""

    count: Annotated[int, Search(0.5, 8)] = Field(default=2, description="a whole number")


class NoSplit(MethodConfig):
    """Takes the split out of its space."""

    split: float = Field(default=0.5, gt=0, le=1, description="the same without a range")


def test_ranges_that_are_all_right(tried) -> None:
    tried(type("Ranged", (Good,), {"Config": Rules, "__doc__": Good.__doc__}))
    contracts.check_config("tried")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (TooWide, r"a study may set low = 2\.0, and the option refuses it: .* less than or equal to 1"),
        (TooWideIfNamed, r"a study may set low = 2\.0"),
        (Clash, "a study may set kind = b, and the option refuses it: .*needs count = 1"),
        (Halves, "option 'count' takes whole numbers, and its range is 0.5 to 8"),
        (NoSplit, "'split' is not in the space of a study"),
    ],
)
def test_ranges_that_break_a_promise(tried, config: Any, said: str) -> None:
    tried(type("Ranged", (Good,), {"Config": config, "__doc__": Good.__doc__}))
    with pytest.raises(AssertionError, match=f"tried: {said}"):
        contracts.check_config("tried")


@pytest.mark.parametrize(
    ("card", "said"), [(None, "says too little"), ("Prunes.", "says too little"), ("x" * 121, "has 121 characters")]
)
def test_a_card_that_says_too_little_or_too_much_at_once(tried, card: str | None, said: str) -> None:
    tried(type("Carded", (Good,), {"__doc__": card}))
    with pytest.raises(AssertionError, match=said):
        contracts.check_card("tried")


def test_a_compact_layer_that_misses_a_live_column(tried, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness saves compact layers, so that is what is compared with the masked model."""

    class Columns(Good):
        budgets = frozenset({"prunable_nominal"})
        rule = RandomColumns

    def careless(structure: Structure, plan: Plan) -> Plan:
        good = compacted(structure, plan)
        return Plan(good.kept, good.masks, {name: live[1:] for name, live in good.columns.items()})

    tried(Columns)
    budget = Budget(kind="prunable_nominal", keep=0.5)
    contracts.check_pruning("tried", budget)
    monkeypatch.setattr("benchmark.pruning.propagation.compacted", careless)
    with pytest.raises(AssertionError, match="logits of the shrunk model"):
        contracts.check_pruning("tried", budget)
