"""What the figures of a study have in common: style, marks, axes of parameters and of objectives, the legend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from benchmark.figures import INK, STYLE
from studies._outcomes import Goal, best, default_trial, goals, kind, of_kind, parameter_names
from studies._spec import StudySpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

ACCENT = "#d1495b"
MARKS: dict[str, dict[str, Any]] = {
    "complete": {"marker": "o", "s": 38, "facecolor": "#5b84b1", "edgecolor": "white", "linewidth": 0.7, "zorder": 3},
    "infeasible": {
        "marker": "s",
        "s": 28,
        "facecolor": "white",
        "edgecolor": "#6f6f6f",
        "linewidth": 1.1,
        "zorder": 2.9,
    },
    "pruned": {"marker": "v", "s": 30, "facecolor": "#bdbdbd", "edgecolor": "#6f6f6f", "linewidth": 0.6, "zorder": 3},
    "failed": {"marker": "X", "s": 34, "facecolor": INK, "edgecolor": "white", "linewidth": 0.5, "zorder": 3},
    "default": {"marker": "*", "s": 230, "facecolor": "white", "edgecolor": INK, "linewidth": 1.3, "zorder": 6},
    "best": {"marker": "D", "s": 62, "facecolor": ACCENT, "edgecolor": INK, "linewidth": 1.0, "zorder": 5},
}
"""Told apart by shape and by lightness, so that nothing is lost in grey."""
NAMES = {
    "complete": "finished",
    "infeasible": "infeasible",
    "pruned": "pruned",
    "failed": "failed",
    "default": "default configuration",
    "best": "best",
}


@dataclass(frozen=True)
class View:
    """A study as figures see it."""

    spec: StudySpec
    name: str
    """Of the study."""
    trials: list[FrozenTrial]
    goals: list[Goal]
    names: list[str]
    """Parameters, in the order of the space."""
    default: FrozenTrial | None
    best: list[FrozenTrial]
    """The best feasible trial, or those of the front."""

    @classmethod
    def of(cls, study: optuna.Study, spec: StudySpec) -> View:
        """Take a study as it stands."""
        trials = study.get_trials(deepcopy=False)
        names, found = parameter_names(study, trials), best(study.directions, trials)
        return cls(spec, study.study_name, trials, goals(spec), names, default_trial(trials), found)

    @cached_property
    def valued(self) -> list[FrozenTrial]:
        """Trials with finite values, feasible or not."""
        return [
            trial
            for trial in of_kind(self.trials, "complete", "infeasible")
            if trial.state == TrialState.COMPLETE and np.isfinite(trial.values or [np.nan]).all()
        ]

    @cached_property
    def feasible(self) -> list[FrozenTrial]:
        """Trials with finite values that break no constraint."""
        return of_kind(self.valued, "complete")

    @cached_property
    def valueless(self) -> list[FrozenTrial]:
        """Trials that were carried out and have no (finite) value."""
        valued = {trial.number for trial in self.valued}
        some = of_kind(self.trials, "complete", "infeasible", "pruned", "failed")
        return [trial for trial in some if trial.number not in valued]

    @property
    def best_name(self) -> str:
        """What the marked trials are called."""
        return "best" if len(self.goals) == 1 else "Pareto front"


def colours(*, maximize: bool) -> Any:
    """Return a colour map that is dark where values are good and never white, so that a bad trial stays visible."""
    import matplotlib as mpl
    from matplotlib.colors import ListedColormap

    shades = mpl.colormaps["Blues"](np.linspace(0.1, 1, 256))
    return ListedColormap(shades if maximize else shades[::-1])


def style() -> Any:
    """Return the context that figures are drawn in: seaborn's and ours, without touching what the caller has set."""
    import matplotlib as mpl
    import seaborn as sns

    own: dict[Any, Any] = {
        "grid.color": "#ececec",
        "xtick.labelsize": 9.5,
        "ytick.labelsize": 9.5,
        "text.parse_math": False,  # a name with two dollar signs is no formula
        "legend.fontsize": 9.5,
    }
    return mpl.rc_context({**sns.axes_style("whitegrid"), **STYLE, **own})


def sheet(title: str, size: tuple[float, float]) -> Figure:
    """Return an empty figure with a title, known to no window and to no pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(legible(title), x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    return figure


def legible(text: str) -> str:
    """Return a text with the signs that matplotlib's own font lacks written as their codes, not as empty boxes."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans"))
    return "".join(sign if font.get_char_index(ord(sign)) else ascii(sign)[1:-1] for sign in text)


def short(text: str, room: int = 18) -> str:
    """Return a text that fits a tick."""
    return text if len(text) <= room else f"{text[: room - 1]}…"


@dataclass(frozen=True)
class Scale:
    """The axis of one parameter: where a value stands on it. Logarithms are taken here, so that lines are straight."""

    name: str
    distributions: list[BaseDistribution]

    @classmethod
    def of(cls, name: str, trials: Sequence[FrozenTrial]) -> Scale:
        """Take the ranges that the trials drew from."""
        return cls(name, [trial.distributions[name] for trial in trials if name in trial.distributions])

    @property
    def choices(self) -> list[Any]:
        """The values of a parameter that is no number."""
        first = self.distributions[0]
        return list(first.choices) if isinstance(first, CategoricalDistribution) else []

    @property
    def log(self) -> bool:
        """Whether it is a logarithm."""
        return bool(getattr(self.distributions[0], "log", False))

    def at(self, values: Sequence[Any]) -> np.ndarray:
        """Return where values stand; the shape is ``(N,)``."""
        if self.choices:
            return np.array([self.choices.index(value) for value in values], float)
        found = np.asarray(values, float)
        return np.log10(found) if self.log else found

    def ends(self) -> tuple[float, float]:
        """Return where the range begins and ends."""
        if self.choices:
            return -0.5, len(self.choices) - 0.5
        ranges: list[Any] = list(self.distributions)
        return float(self.at([one.low for one in ranges]).min()), float(self.at([one.high for one in ranges]).max())

    def dress(self, axis: Axis, *, named: bool = True) -> None:
        """Give an axis its range, ticks and name."""
        from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator

        low, high = self.ends()
        margin = 0.0 if self.choices else 0.04 * (high - low) or 0.5
        axis._set_lim(low - margin, high + margin, auto=False)  # type: ignore[attr-defined]
        if named:
            axis.set_label_text(legible(self.name))
        if self.choices:
            axis.set_major_locator(FixedLocator(range(len(self.choices))))
            axis.set_major_formatter(FixedFormatter([legible(short(str(one))) for one in self.choices]))
            return
        whole = self.log and high - low >= 2
        axis.set_major_locator(MaxNLocator(4, integer=whole))
        if self.log:
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{10**value:.{0 if whole else 1}e}"))


def dress_values(axis: Axis, goal: Goal, values: Sequence[float], *, named: bool = True) -> None:
    """Give an objective's axis its scale (a log one where good values would lie on one another), ticks and name."""
    from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    finite = np.asarray([value for value in values if np.isfinite(value)], float)
    log = len(finite) > 0 and finite.min() > 0 and finite.max() / finite.min() >= 8
    if log:
        axis._set_axes_scale("log")  # type: ignore[attr-defined]
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
        axis.set_minor_formatter(NullFormatter())
        axis.set_tick_params(which="minor", length=0)
    else:
        axis.set_major_locator(MaxNLocator(6))
    if goal.percent:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    elif len(finite) and finite.max() >= 1e4:
        axis.set_major_formatter(EngFormatter(sep=" "))
    if named:
        axis.set_label_text(legible(goal.axis) + (" (log)" if log else ""))


def mark(ax: Axes, look: str, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, **other: Any) -> None:
    """Draw trials of one look."""
    if len(x):
        ax.scatter(x, y, **{**MARKS[look], **other})


def rug(ax: Axes, view: View, place: Callable[[Sequence[FrozenTrial]], tuple[list[FrozenTrial], np.ndarray]]) -> None:
    """Draw trials without a value along the upper edge; ``place`` says which of them and where."""
    for look in ("pruned", "infeasible", "failed"):
        _, x = place([trial for trial in view.valueless if kind(trial) == look])
        mark(ax, look, x, np.ones(len(x)), transform=ax.get_xaxis_transform(), clip_on=False, zorder=7)


def present(view: View) -> list[str]:
    """Return the looks that a legend has to explain."""
    there = {str(kind(trial)) for trial in view.trials}
    looks = [look for look in ("complete", "infeasible", "pruned", "failed") if look in there]
    return [*looks, *(["default"] if view.default is not None else []), *(["best"] if view.best else [])]


def legend(
    figure: Figure,
    view: View,
    looks: Sequence[str],
    lines: Mapping[str, Any] | None = None,
    *,
    edge: bool = True,
    shaded: bool = False,
) -> None:
    """Explain the marks below the panels; ``edge``: what has no value stands at the upper edge."""
    from matplotlib.lines import Line2D

    above = {str(kind(trial)) for trial in view.valueless} if edge else set()
    handles = []
    for look in looks:
        mark = MARKS[look]
        name = view.best_name if look == "best" else NAMES[look]
        name += " (top edge)" if look in above else ""
        name += " (darker: later)" if shaded and look == "complete" else ""
        size = {"default": 13, "best": 8}.get(look, 6.5)
        handles.append(
            Line2D([], [], linestyle="none", marker=mark["marker"], markersize=size, markerfacecolor=mark["facecolor"],
                   markeredgecolor=mark["edgecolor"] if mark["edgecolor"] != "white" else mark["facecolor"], label=name)
        )  # fmt: skip
    handles += [Line2D([], [], label=name, **look) for name, look in (lines or {}).items()]
    room = int(figure.get_size_inches()[0] * 14)
    widest = max((len(str(one.get_label())) for one in handles), default=1) + 8
    columns = max(1, min(len(handles), room // widest))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
