"""The Pareto report: panels, fronts, hypervolumes, outside points, and the page to look into."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.errors import SpecError, StoreError
from benchmark.figures import render
from benchmark.registry import REGISTRY
from benchmark.store.frame import frame
from reports import _pareto_data as data
from reports import _pareto_looks as looks
from reports._pareto_interactive import figure_html
from reports._pareto_legend import lines
from reports._pareto_outside import OURS, belonging, published
from reports.pareto import MOST, draw, draw_charts
from tests.fake_runs import commit, make, ok_data, spec


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return frame(make(tmp_path_factory.mktemp("pareto") / "run"), normalizer="identity")


@pytest.fixture(scope="module")
def chart(table: pd.DataFrame) -> data.Chart:
    return data.charts(table)[0]


def _only(table: pd.DataFrame, wanted: pd.Series) -> pd.DataFrame:
    part = table[wanted]
    part.attrs = table.attrs
    return part


def _panels(figure: Figure) -> list[Axes]:
    return [ax for part in figure.subfigs for ax in part.axes if ax.axison]


def _texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for part in figure.subfigs for ax in part.axes for text in ax.texts)


# --- panels -------------------------------------------------------------------------------------------------------


def test_a_board_has_a_panel_a_cost_and_the_time_is_that_of_a_device(table: pd.DataFrame) -> None:
    figure = draw(table)
    axes = _panels(figure)
    assert [ax.get_xlabel().split(" (")[0].split(",")[0] for ax in axes] == [
        "non-zero parameters",
        "parameters as saved",
        "bytes as saved",
        "MACs executed: a window up to its first token",
        "ms of computing a second of audio",
    ]
    assert axes[-1].get_xlabel().splitlines()[0].endswith("fake-cpu-2t")
    assert "reference: dense (1.48 M), 100 % error" in _texts(figure)


def test_a_panel_without_data_is_left_out(table: pd.DataFrame) -> None:
    untimed = _only(table.assign(rtfx=np.nan), table["block"] != "mask")
    assert [panel.key for panel in data.charts(untimed)[0].panels] == [
        "stored:params_stored",
        "stored:bytes",
        "stored:macs_first_token",
    ]
    assert len(_panels(draw(untimed))) == 3
    assert [panel.key for panel in data.charts(_only(table, table["block"] != "stored"))[0].panels] == [
        "mask:params_nominal"
    ]


def test_references_alone_are_drawn_and_so_are_failures_alone(table: pd.DataFrame) -> None:
    assert len(_panels(draw(_only(table, table["block"] == "reference")))) == 1
    assert "no finished cell" in _texts(draw(_only(table, table["status"] == "failed")))


def test_a_block_of_another_budget_has_a_panel_of_its_own(tmp_path: Path) -> None:
    run = make(tmp_path / "run", keeps=())
    commit(run, ok_data(spec("l1_group", "macs", 0.5), stored=0.5), 0.1)
    (chart,) = data.charts(frame(run, normalizer="identity"))
    assert [panel.key for panel in chart.panels] == ["macs:macs_first_token"]
    assert "Budget in macs" in render(draw(frame(run, normalizer="identity")), "svg").decode()


def test_own_operating_points_stand_in_the_stored_block_only(tmp_path: Path) -> None:
    run = make(tmp_path / "run", keeps=(0.8,))
    commit(run, ok_data(spec("low_rank"), stored=0.5, nominal=0.5), 0.06)
    (chart,) = data.charts(frame(run, normalizer="identity"))
    shown = {panel.key: set(panel.shown(chart.points)["label"]) for panel in chart.panels}
    assert "low_rank" in shown["stored:params_stored"]
    assert "low_rank" not in shown["mask:params_nominal"]
    assert {"dense", "shipped"} <= shown["mask:params_nominal"]


def test_latency_is_the_inverse_of_the_speed_to_dense(chart: data.Chart) -> None:
    assert chart.points["latency"].to_numpy() == pytest.approx(1000 / 90 / chart.points["speedup"].to_numpy())
    assert chart.points.set_index("label").loc["dense", "latency"] == pytest.approx(1000 / 90)


def test_a_slow_hour_of_the_machine_moves_no_point(table: pd.DataFrame, chart: data.Chart) -> None:
    slow = table["label"].isin(["dense", "imp"])
    ends = {"speedup_lo": 0.9 * table["speedup"], "speedup_hi": 1.25 * table["speedup"]}
    moved = table.assign(rtfx=table["rtfx"].where(~slow, table["rtfx"] / 2), **ends)
    moved.attrs = table.attrs
    (other,) = data.charts(moved)
    panel = next(one for one in chart.panels if one.cost.column == "latency")
    assert other.points["latency"].to_numpy() == pytest.approx(chart.points["latency"].to_numpy())
    assert other.corner(panel) == chart.corner(panel) and other.volumes(panel) == chart.volumes(panel)
    assert (other.points["latency_hi"] * 0.9).to_numpy() == pytest.approx(other.points["latency"].to_numpy())
    assert (other.points["latency_lo"] * 1.25).to_numpy() == pytest.approx(other.points["latency"].to_numpy())
    said = "by speed to dense; the model as it came: 11.1 ms"
    assert said in "".join(ax.get_xlabel() for ax in _panels(draw(moved)))
    (board,) = _held(figure_html(moved))
    assert [said in one["note"] for one in board["panels"]] == ["latency" in one["key"] for one in board["panels"]]
    told = next(text for trace in board["traces"] for text in trace["text"] if text.startswith("<b>dense"))
    assert "1.00× [0.90×, 1.25×]: 11.11 ms a second of audio<br>when it was timed: 45.0 s of audio a second" in told


def test_boards_of_several_models_have_paces_of_their_own() -> None:
    rows = {"setting": ["a", "a", "a", "b", "c"], "rtfx": [100.0, 50.0, 220.0, 8.0, np.nan]}
    found = data.paces(pd.DataFrame(rows | {"speedup": [1.0, 1.0, 2.0, 2.0, np.nan]}))
    assert found == {"a": 100.0, "b": 4.0}


def test_seeds_become_one_point_with_their_own_rates(tmp_path: Path) -> None:
    run = make(tmp_path / "run", keeps=(0.8,))
    for seed in (1, 2):
        commit(run, ok_data(spec("magnitude", "prunable_nominal", 0.8, seed=seed), nominal=0.8), 0.05)
    table = frame(run, normalizer="identity")
    (chart,) = data.charts(table)
    point = chart.points[chart.points["label"] == "magnitude"].iloc[0]
    rates = table.loc[table["label"] == "magnitude", "test_error"]
    assert point["seed_list"] == "0,1,2"
    assert sorted(point["own"]) == pytest.approx(sorted(100 * rates))
    assert len(chart.points) == chart.points["entry"].nunique()


def test_no_scores_are_said() -> None:
    with pytest.raises(StoreError, match="nothing to report"):
        draw(pd.DataFrame())


# --- hypervolume, looks, scale ------------------------------------------------------------------------------------


def test_hypervolumes_are_those_of_a_fine_grid(chart: data.Chart) -> None:
    for panel in chart.panels:
        shown, corner = panel.shown(chart.points), chart.corner(panel)[0]
        for name, volume in chart.volumes(panel).items():
            mine = shown if not name else shown[shown["label"].eq(name) & shown["block"].eq(panel.block)]
            x, y = (np.arange(400) + 0.5) / 400 * corner, (np.arange(400) + 0.5) / 400 * 100
            beaten = np.zeros((400, 400), bool)
            for cost, error in zip(mine[panel.cost.column], mine["score"], strict=True):
                beaten |= (x[:, None] >= cost) & (y[None, :] >= error)
            assert volume == pytest.approx(beaten.mean(), abs=0.006)
    assert "dense" not in chart.volumes(chart.panels[0])


def test_without_dense_the_largest_shown_is_the_reference(table: pd.DataFrame) -> None:
    (chart,) = data.charts(_only(table, table["label"] != "dense"))
    value, whose = chart.corner(chart.panels[0])
    assert whose == "the largest shown"
    assert value == chart.panels[0].shown(chart.points)["params_nominal"].max()


def test_the_legend_lists_the_best_first_and_the_rest_together(chart: data.Chart) -> None:
    found = lines(chart, looks.looks([chart], 3))
    named = [line for line in found if line.look is not None and line.numbers]
    assert named[0].name == "Pareto front of all"
    stored = [float(line.numbers[1]) for line in named[1:] if line.numbers[1]]
    assert stored == sorted(stored, reverse=True)
    assert any(line.name == "3 more methods, in pareto.html" for line in found)
    assert [line.name for line in found[-3:-1]] == ["dense", "shipped"]


def test_looks_differ_and_are_readable_without_colour() -> None:
    found = [looks.look(at) for at in range(90)]
    assert len({(look["color"], look["marker"], look["line"]) for look in found}) == 90
    assert len({(look["marker"], look["line"]) for look in found[:40]}) == 40  # in grey, too
    assert not {"*", "D"} & {look["marker"] for look in found}  # those of the references


def test_the_error_axis_shows_zero_and_is_linear_where_little_is_spanned() -> None:
    points = pd.DataFrame({"score": [0.0, 0.5, 40.0], "low": [0.0, 0.2, 30.0], "high": [0.3, 0.9, 50.0]})
    scale = looks.scale(points)
    assert scale.log
    assert (scale.names[0], scale.ticks[0], scale.floor) == ("0", 0.25, 0.25)
    assert scale.ends[0] < scale.floor
    assert not looks.scale(points.iloc[2:]).log
    assert looks.scale(points.assign(score=[0.0, 0.5, 140.0])).ends[1] > 100


# --- pictures -----------------------------------------------------------------------------------------------------


def test_pictures_are_the_same_each_time_and_carry_no_date(table: pd.DataFrame, tmp_path: Path) -> None:
    report = REGISTRY.get("report", "pareto")
    one, other = (report.write(table, tmp_path / name) for name in ("one", "other"))
    assert [path.name for path in one] == ["pareto.png", "pareto.svg", "pareto.pdf", "pareto.html"]
    for path, again in zip(one, other, strict=True):
        assert path.read_bytes() == again.read_bytes()
    assert b"CreationDate" not in one[2].read_bytes()
    assert render(draw(table), "svg") == one[1].read_bytes()  # whatever was rendered before


def test_nothing_is_drawn_outside_of_the_picture(table: pd.DataFrame) -> None:
    figure = draw(table)
    whole = figure.bbox
    for part in figure.subfigs:
        for ax in part.axes:
            for text in ax.texts:
                box = text.get_window_extent()
                assert not text.get_text() or (box.x1 <= whole.x1 and box.y0 >= 0), text.get_text()


def test_few_lines_are_named_where_nothing_is_hidden(table: pd.DataFrame) -> None:
    figure = draw(table)
    ax = _panels(figure)[1]
    names = {text.get_text(): text.get_window_extent() for text in ax.texts if text.get_text() in set(table["label"])}
    assert names
    boxes = [*names.values(), next(text for text in ax.texts if text.get_text() == "better").get_window_extent()]
    assert not any(one.overlaps(other) for at, one in enumerate(boxes) for other in boxes[:at])
    markers = [ax.transData.transform((x, y)) for x, y in _points_of(data.charts(table)[0], "params_stored")]
    assert not any(box.contains(*marker) for box in boxes for marker in markers)


def _points_of(chart: data.Chart, cost: str) -> list[tuple[float, float]]:
    rows = chart.points[chart.points["block"].eq("reference")]
    return list(zip(rows[cost], rows["score"], strict=True))


def test_many_boards_become_rows_and_the_rest_is_named(chart: data.Chart) -> None:
    boards = [replace(chart, title=f"board {number}") for number in range(MOST + 2)]
    figure = draw_charts(boards, [])
    assert len(figure.subfigs) == MOST
    assert all(sum(ax.axison for ax in part.axes) == 3 for part in figure.subfigs)
    caption = figure._supxlabel.get_text()  # type: ignore[attr-defined]
    assert f"2 more boards are not drawn here but in pareto.html: board {MOST}; board {MOST + 1}" in caption


def test_many_methods_are_drawn_in_grey(chart: data.Chart) -> None:
    copies = [chart.points.assign(label=chart.points["label"] + f"[{at}]") for at in range(12)]
    many = replace(chart, points=pd.concat([chart.points, *copies], ignore_index=True), _volumes={})
    assert "more methods, in pareto.html" in _texts(draw_charts([many], []))


def test_no_warning_and_nothing_missing_with_a_perfect_entry(tmp_path: Path) -> None:
    run = make(tmp_path / "run", keeps=(0.8,))
    commit(run, ok_data(spec("magnitude", "prunable_nominal", 0.5), nominal=0.5), 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axes = _panels(draw(frame(run, normalizer="identity")))
    assert next(label.get_text() for label in axes[0].get_yticklabels()) == "0"


# --- outside ------------------------------------------------------------------------------------------------------

_ENTRY: dict[str, Any] = {
    "source": "arXiv:1", "name": "Them", "data": "theirs", "claim": "it works", "model": "fake-nano",
    "corpus": "fake-hi", "language": "hi", "error": 5.0, "costs": {"params_stored": 900_000},
}  # fmt: skip


def _file(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps({"published": [_ENTRY | changes]}))
    return path


def test_outside_points_are_drawn_where_model_and_data_are_the_same(
    table: pd.DataFrame, chart: data.Chart, tmp_path: Path
) -> None:
    for name, same in ({"corpus": "fake-hi"}, True), ({"model": "other"}, False), ({"language": "mr"}, False):
        found = published(_file(tmp_path / "out.yaml", **name))
        assert bool(belonging(chart, found)) == same
        assert belonging(chart, found, everywhere=True)
    found = published(_file(tmp_path / "out.yaml"))
    with_them, without = draw(table, found), draw(table, [])
    assert _texts(with_them).count("Them (arXiv:1)") == 1  # in the panel whose cost it states
    assert "Them" not in _texts(without)


def test_outside_points_join_no_front_and_no_hypervolume(table: pd.DataFrame, tmp_path: Path) -> None:
    best = published(_file(tmp_path / "out.yaml", error=0.0, costs={"params_stored": 1}))
    with_them, without = draw(table, best), draw(table, [])
    for one, other in zip(_panels(with_them), _panels(without), strict=True):
        for line, same in zip(one.get_lines(), other.get_lines(), strict=True):
            # but for the band, which goes on to the right edge of the panel
            np.testing.assert_array_equal(np.asarray(line.get_ydata()), np.asarray(same.get_ydata()))
    numbers = re.compile(r"^0\.\d{3}$", re.MULTILINE)
    assert numbers.findall(_texts(with_them)) == numbers.findall(_texts(without))


def test_what_comes_with_the_project_is_no_point_of_ours(chart: data.Chart) -> None:
    assert {one.source for one in published(OURS)} >= {"arXiv:2511.08092", "arXiv:2510.08599", "arXiv:2502.20583"}
    assert belonging(chart, published(OURS)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("published: [", "no YAML"),
        ("[]", "holds no 'published'"),
        (json.dumps({"published": [_ENTRY | {"costs": {"weight": 1}}]}), "has a cost 'weight'"),
        (json.dumps({"published": [_ENTRY | {"error": -1}]}), "error"),
        (json.dumps({"published": [{"name": "x"}]}), "source"),
    ],
)
def test_a_broken_file_of_published_results_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "out.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=re.escape(said)) as caught:
        published(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(SpecError, match="cannot be read"):
        published(tmp_path / "none.yaml")


def test_the_file_is_an_option_of_the_report(table: pd.DataFrame, tmp_path: Path) -> None:
    report = REGISTRY.get("report", "pareto", outside=_file(tmp_path / "out.yaml", model="other"), everywhere=True)
    svg = next(path for path in report.write(table, tmp_path / "out") if path.suffix == ".svg").read_bytes()
    assert svg != render(draw(table), "svg")


# --- the page -----------------------------------------------------------------------------------------------------


def _held(page: str) -> list[dict[str, Any]]:
    found = re.search(r'<script type="application/json" class="pareto-data">(.*?)</script>', page, re.DOTALL)
    assert found
    boards: list[dict[str, Any]] = json.loads(found[1])
    return boards


def test_the_page_needs_no_network_and_is_a_fragment_or_whole(table: pd.DataFrame) -> None:
    fragment, whole = figure_html(table), figure_html(table, full=True)
    assert "<html" not in fragment.split("<script>", 1)[0]
    assert whole.startswith("<!doctype html>")
    assert len(fragment) > 3_000_000  # the library is inside
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", whole.replace(_library(), ""))


def _library() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def test_the_page_holds_every_entry_its_fronts_and_what_plotly_understands(
    table: pd.DataFrame, chart: data.Chart
) -> None:
    import plotly.graph_objects as go

    (board,) = _held(figure_html(table))
    drawn = {entry for trace in board["traces"] for entry in trace["customdata"]}
    assert drawn == set(chart.points["entry"])
    assert board["panels"][0]["key"] == "stored:params_stored"
    for trace in board["traces"]:
        go.Figure(data=[{key: value for key, value in trace.items() if key != "joined"}])  # raises on what is unknown
    for panel in board["panels"]:
        kept = next(one for one in chart.panels if one.key == panel["key"])
        shown = kept.shown(chart.points)
        parts = [
            (x, y, best)
            for part in panel["parts"]
            for x, y, best in zip(part["x"], board["traces"][part["trace"]]["y"], part["front"], strict=True)
            if x is not None
        ]
        assert len(parts) == len(shown)
        assert any(best for _, _, best in parts)
        assert f"{chart.volumes(kept)['']:.3f}" in panel["overall"]


def test_texts_of_records_are_harmless_in_the_page(table: pd.DataFrame) -> None:
    bad = "</script><script>alert('x')</script><b>"
    spoiled = table.assign(label=table["label"].where(table["label"] != "imp", bad), corpus=bad, seed=table["seed"])
    spoiled.attrs = table.attrs
    page = figure_html(spoiled).replace(_library(), "")
    assert bad not in page
    assert page.count("<script") == 3
    assert "&lt;/script&gt;" in json.dumps(_held(page))
