"""The command line: light, and clear when something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmark.api import Report
from benchmark.cli.main import invoke
from benchmark.harness.executors.local import Local
from benchmark.registry import REGISTRY, Failure
from benchmark.store.folders import MARKER, keep_spec
from benchmark.store.records import Record
from tests import fake_runs

HEAVY = ("torch", "transformers", "pandas", "datasets", "optuna", "matplotlib", "scipy")
VERBS = (
    *(
        "leaderboard",
        "run",
        "plan",
        "ls",
        "describe",
        "report",
        "score",
        "merge",
        "profile",
        "compress",
        "export",
        "new",
        "doctor",
    ),
    "nano",
)


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Run one command in an empty folder; return its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = invoke([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def refused(call, tmp_path):
    """Run a command that cannot be carried out: one line, code 2, nothing written; return the line."""

    def run(*arguments: str | Path) -> str:
        before = sorted(tmp_path.rglob("*"))
        code, _, err = call(*arguments)
        assert code == 2
        assert err.startswith("prunebench: error: ")
        assert err.count("\n") == 1
        assert "Traceback" not in err
        assert sorted(tmp_path.rglob("*")) == before
        return err

    return run


@pytest.fixture(scope="module")
def fake_run(tmp_path_factory) -> Path:
    return fake_runs.make(tmp_path_factory.mktemp("fake") / "run")


# --- light --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["--help"], ["ls", "methods"], ["plan", "--help"], ["plan", "nowhere"], ["describe", "method", "imp"]]
)
def test_a_light_command_imports_nothing_heavy(arguments):
    code = (
        "import sys; from benchmark.cli.main import invoke; "
        f"invoke({arguments!r}); print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_python_m_benchmark_is_the_same_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", "--help"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in VERBS)
    assert "worker" not in done.stdout  # hidden: the harness starts it


def test_without_a_command_the_help_is_shown(call):
    code, out, _ = call()
    assert code == 0
    assert "leaderboard" in out


def test_version(call):
    from benchmark import __version__

    assert call("--version") == (0, f"prunebench {__version__}\n", "")


# --- looking ------------------------------------------------------------------------------------------------------


def test_ls_lists_every_kind(call):
    for plural, kind in {
        "methods": "method",
        "corpora": "corpus",
        "normalizers": "normalizer",
        "reports": "report",
    }.items():
        code, out, _ = call("ls", plural)
        assert code == 0
        assert all(name in out for name in REGISTRY.names(kind))


def test_ls_json_is_json(call):
    code, out, _ = call("ls", "methods", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert rows["imp"]["budgets"] == ["prunable_nominal"]
    assert rows["dense"]["owner"] == "methods.dense.Dense"
    assert {row["name"] for row in json.loads(call("ls", "corpora", "--json")[1])} >= {"synthetic-hi", "folder"}


def test_describe_shows_card_options_and_ranges(call):
    code, out, _ = call("describe", "method", "imp")
    assert code == 0
    assert "arXiv 1803.03635" in out
    rate = next(line for line in out.splitlines() if line.startswith("rate "))
    assert "float > 0 < 1" in rate and "0.85" in rate and "share of the remaining weights" in rate
    assert "prunable_nominal" in out


def test_describe_shows_what_a_study_turns(call):
    _, out, _ = call("describe", "method", "sgl_adaptive")
    lines = {line.split()[0]: " ".join(line.split()) for line in out.splitlines() if line.strip()}
    assert "default in a study what" in lines["option"]
    assert "None 1e-08 to 0.001, log of the sums" in lines["strength"]
    assert "None if named: 1e-08 to 0.003, log that of" in lines["group_enc"]
    assert "'std' if named: std, mad, fixed the spread" in lines["scale"]
    assert "0.5 0.2 to 0.8 share" in lines["split"]
    assert "in a study" not in call("describe", "corpus", "folder")[1]


def test_every_plugin_can_be_described(call):
    for kind in ("method", "normalizer", "corpus", "model", "report"):
        for name in REGISTRY.names(kind):
            assert call("describe", kind, name)[0] == 0


def test_plan_of_the_default(call, tmp_path):
    code, out, _ = call("plan")
    assert code == 0
    assert "default: 23 cells in out/default" in out
    assert "0 done, 23 missing, 0 failed" in out
    assert not list(tmp_path.iterdir())


def test_plan_as_data(call):
    code, out, _ = call("plan", "default", "--json")
    plan = json.loads(out)
    assert code == 0
    assert len({cell["id"] for cell in plan["cells"]}) == 23
    assert plan["unshared"] == 22 * 120  # the shipped model is not trained
    assert plan["saving"] >= 1 / 3
    assert plan["left"] == plan["shared"]


def test_plan_counts_what_is_done_and_failed(call, tmp_path):
    cells = {cell["method"]: cell for cell in json.loads(call("plan", "tiny", "--json")[1])["cells"]}
    run = tmp_path / "run"
    (run / "runs").mkdir(parents=True)
    (run / MARKER).write_text('{"format": 1}')
    put(run, cells["dense"]["id"], {"status": "ok", "error": None})
    put(run, cells["imp"]["id"], {"status": "failed", "error": {"type": "X", "message": "y"}})
    plan = json.loads(call("plan", "tiny", "--out", run, "--json")[1])
    states = {cell["method"]: cell["state"] for cell in plan["cells"]}
    assert (states["dense"], states["imp"], states["random"]) == ("done", "failed", "missing")
    assert plan["artefact_bytes"] == 9 * 4 * 1_500_000
    assert plan["left"] == plan["shared"] - 3  # the second half of dense: nobody else needs it


def put(run: Path, cell: str, about: dict) -> Path:
    folder = run / "runs" / cell / "20260101T000000.000000Z-000000"
    folder.mkdir(parents=True)
    record = {"format": 1, "cell": cell, "attempt": folder.name, "spec": {"method": {}}, **about}
    record |= {"plan": {}, "counts": {"params_dense": 1_500_000}, "budget": {}, "data": {}}
    (folder / "record.json").write_text(json.dumps(record))
    return folder / "record.json"


def test_plan_with_flags(call):
    code, out, _ = call("plan", "--methods", "magnitude", "--budgets", "0.5", "--seeds", "0,1")
    assert code == 0
    assert "4 cells" in out


# --- running ------------------------------------------------------------------------------------------------------


@pytest.fixture
def harness(monkeypatch):
    """A harness that only notes what it is asked for; ``failed`` is what its run says has failed."""
    import benchmark.harness

    asked, failed = [], []
    fake = SimpleNamespace(
        run=lambda spec, **how: asked.append(("run", spec.name, how)) or SimpleNamespace(records=[], failed=failed),
        profile=lambda out, spec, quiet: asked.append(("profile", out)),
    )
    monkeypatch.setitem(sys.modules, "benchmark.harness.run", fake)
    monkeypatch.setattr(benchmark.harness, "run", fake, raising=False)
    monkeypatch.setattr(
        "benchmark.cli._flow.scored_frame",
        lambda runs, normalizer, broken, cells: asked.append(("report", normalizer, len(cells))) or (None, []),
    )
    monkeypatch.setattr("benchmark.cli._flow.report_table", lambda table, out, left_out: [out / "table.md"])
    return SimpleNamespace(asked=asked, failed=failed)


def test_leaderboard_runs_profiles_and_reports(call, harness):
    code, out, err = call("leaderboard", "--workers", "2", "--quiet")
    where = Path("out/default")
    assert (code, err) == (0, "")
    assert harness.asked == [
        ("run", "default", {"out": where, "quiet": True, "executor": Local(workers=2)}),
        ("profile", where),
        ("report", "hindi", 23),
    ]
    assert str(where / "table.md") in out


def test_failed_cells_are_named_and_the_rest_is_reported(call, harness, tmp_path):
    harness.failed.append(Record("0123456789abcdef", "x", tmp_path, failure("imp", "asked 0.5, reached 0.7")))
    code, out, _ = call("run", "tiny", "--out", "here")
    assert code == 1
    assert "imp (0123456789abcdef): BudgetMissedError: asked 0.5, reached 0.7" in out
    assert harness.asked[-1] == ("report", "hindi", 9)


def failure(method: str, message: str) -> dict:
    error = {"type": "BudgetMissedError", "message": message}
    return {"status": "failed", "error": error, "spec": {"method": {"name": method}}}


# --- records ------------------------------------------------------------------------------------------------------


def test_report_writes_files_and_says_where(call, fake_run, tmp_path):
    code, out, err = call("report", fake_run, "--out", tmp_path / "report", "--normalizer", "identity")
    assert (code, err) == (0, "")
    for name in ("leaderboard.md", "leaderboard.csv", "leaderboard.html", "pareto.png"):
        assert (tmp_path / "report" / name).stat().st_size > 0
        assert str(tmp_path / "report" / name) in out


def test_report_prints_the_table(call, fake_run, tmp_path):
    out = call("report", fake_run, "--out", tmp_path / "report", "--normalizer", "identity")[1]
    assert "random_structured" in out
    assert "identity:" in out  # the signature


def test_report_takes_the_normaliser_of_the_runs(call, refused, tmp_path):
    run = fake_runs.make(tmp_path / "run", keeps=())
    assert "say no normaliser; choose one with --normalizer" in refused("report", run, "--out", tmp_path / "report")
    keep_spec(run, {"normalizer": "whisper_basic"}, [])
    code, out, _ = call("report", run, "--out", tmp_path / "report")
    assert code == 0
    assert "Normaliser whisper_basic" in out
    keep_spec(run, {"normalizer": "identity"}, [])
    assert "several normalisers (identity, whisper_basic)" in refused("report", run, "--out", tmp_path / "again")


def test_reports_are_not_half_written(refused, fake_run, tmp_path):
    (tmp_path / "file").write_text("in the way")
    said = refused("report", fake_run, "--out", tmp_path / "file", "--normalizer", "identity")
    assert f"{tmp_path / 'file'}: cannot be written" in said


def test_a_broken_report_is_named_and_spares_the_others(call, fake_run, tmp_path, monkeypatch):
    class Broken(Report):
        """Breaks."""

        name = "broken"

        def write(self, frame, out):
            raise KeyError("test_wer")

    plugins = {**REGISTRY._of("report"), "broken": Broken}
    monkeypatch.setitem(REGISTRY._plugins, "report", plugins)
    monkeypatch.setitem(REGISTRY._owners, ("report", "broken"), "theirs.Broken")
    code, out, err = call("report", fake_run, "--out", tmp_path / "report", "--normalizer", "identity")
    assert code == 2
    assert "report 'broken' (theirs.Broken): KeyError: 'test_wer'" in err
    assert "random_structured" in out and (tmp_path / "report" / "pareto.svg").exists()


def test_merge_is_the_union(call, fake_run, tmp_path):
    code, out, _ = call("merge", fake_run, "--into", tmp_path / "both")
    assert code == 0
    assert "23 attempt(s) and 1 timing record(s) copied" in out
    assert (
        "0 attempt(s) and 0 timing record(s) copied, 23 attempt(s)"
        in call("merge", fake_run, "--into", tmp_path / "both")[1]
    )


# --- compress -----------------------------------------------------------------------------------------------------


def test_compress_writes_a_model_that_opens(call, tmp_path):
    import benchmark

    code, out, err = call("compress", "nano-hi", "--method", "l1_group", "--keep", "0.5", "--to", tmp_path / "small")
    assert (code, err) == (0, "")
    assert "checked in a fresh process" in out
    assert (tmp_path / "small" / "tokenizer.json").exists()
    half = sum(p.numel() for p in benchmark.load(tmp_path / "small").parameters())
    asked = ("--keep", "0.5", "-o", "groups=[ffn_neuron]", "-o", "scope=layer", "--to", tmp_path / "smaller")
    assert call("compress", tmp_path / "small", "--method", "l1_group", *asked)[0] == 0
    assert sum(p.numel() for p in benchmark.load(tmp_path / "smaller").parameters()) < half
    assert (tmp_path / "smaller" / "tokenizer.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nano-hi", "--method", "sgl_adaptive", "--keep", "0.5"], "'sgl_adaptive' trains with a penalty"),
        (
            ["nano-hi", "--method", "imp", "--keep", "0.5"],
            "'imp' only sets weights to zero, and a zero is stored like any other",
        ),
        (["nano-hi", "--method", "l1_gruop", "--keep", "0.5"], "did you mean 'l1_group'"),
        (["nano-hi", "--method", "l1_group", "--keep", "1.5"], "keep = 1.5"),
        (
            ["nano-hi", "--method", "l1_group", "--keep", "0.01"],
            "keep = 0.01 of the weights that may go is missed: 0.1012",
        ),
        (["nano-hi", "--method", "l1_group", "--keep", "0.5", "-o", "scope"], "write name=value"),
        (["nano-hi", "--method", "l1_group", "--keep", "0.5", "-o", "scope=world"], "scope = 'world'"),
        (["./nowhere", "--method", "l1_group", "--keep", "0.5"], "nowhere: no such folder"),
        (["nano-hu", "--method", "l1_group", "--keep", "0.5"], "did you mean 'nano-hi'"),
    ],
)
def test_what_cannot_be_compressed_is_said(refused, arguments, said):
    assert said in refused("compress", *arguments, "--to", "small")


# --- doctor -------------------------------------------------------------------------------------------------------


def test_doctor_is_well(call):
    code, out, _ = call("doctor")
    assert code == 0, out
    for word in ("torch", "device", "threads", "cache", "espeak-ng", "methods", "all is well"):
        assert word in out


def test_doctor_names_a_broken_plugin(call, monkeypatch):
    monkeypatch.setattr(REGISTRY, "failures", [Failure("their.module", "ImportError: no such thing")])
    code, out, _ = call("doctor")
    assert code == 1
    assert "FAULT plug-in their.module could not be loaded: ImportError: no such thing" in out


def test_doctor_finds_a_cache_that_cannot_be_written(call, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "file" / "cache"))
    code, out, _ = call("doctor")
    assert code == 1
    assert "cannot be written" in out


# --- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [["leaderboard"], ["run", "default"], ["plan"]])
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--methods", "magnitud"], "unknown method 'magnitud'; did you mean 'magnitude'?"),
        (["--budgets", "0"], "a kept fraction lies above 0 and at most 1, not 0"),
        (["--budgets", "1.5"], "a kept fraction lies above 0 and at most 1, not 1.5"),
        (["--budgets", "half"], "'half' is not a number"),
        (["--seeds", "one"], "--seeds: 'one'"),
        (["--steps", "0"], "training.steps = 0"),
        (["--steps", "few"], "--steps"),
        (["--normalizer", "hidni"], "unknown normalizer 'hidni'; did you mean 'hindi'?"),
        (["--step", "3"], "--step"),
    ],
)
def test_wrong_flags_are_refused_before_anything_is_written(refused, verb, flags, said):
    assert said in refused(*verb, *flags)


def test_wrong_specs_are_refused(refused, tmp_path):
    spec = tmp_path / "mine.yaml"
    for text, said in {
        "grid: [{methods: [dense]}]\ntraning: {}": "mine.yaml: unknown key 'traning'; did you mean 'training'?",
        "grid: [{methods: [dense]}": "mine.yaml: broken YAML at line 1",
        "grid: [{methods: [imq], budget: prunable_nominal, keep: [0.5]}]": "unknown method 'imq'; did you mean 'imp'?",
        "grid: [{methods: [imp], budget: prunable_nominal, keep: [1.5]}]": "not 1.5",
        "grid: [{methods: [imp], budget: prunable_nominal, keep: [half]}]": "'half'",
    }.items():
        spec.write_text(text)
        for verb in ("run", "plan"):
            assert said in refused(verb, spec)


def test_commands_names_and_kinds_are_suggested(refused):
    assert "did you mean 'methods'?" in refused("ls", "metods")
    assert "did you mean 'imp'?" in refused("describe", "method", "imq")
    assert "Did you mean 'plan'?" in refused("plann")
    assert "unknown preset 'defalt'; did you mean 'default'?" in refused("leaderboard", "--preset", "defalt")
    assert "unknown corpus 'synthetic-hx'; did you mean" in refused("nano", "build", "--languages", "hx")


def test_a_broken_plugin_is_hinted_at_where_a_name_is_unknown(refused, monkeypatch):
    monkeypatch.setattr(REGISTRY, "failures", [Failure("theirs", "ImportError: x")])
    assert "prunebench doctor" in refused("describe", "method", "their_method")


@pytest.mark.parametrize("verb", [["leaderboard"], ["run", "tiny"], ["nano", "build"]])
def test_an_output_folder_that_is_not_writable(refused, verb, tmp_path):
    (tmp_path / "file").write_text("")  # a path below a file: not writable for root either
    assert "cannot be written" in refused(*verb, "--out", tmp_path / "file" / "out")


def test_a_report_folder_that_is_not_writable(refused, fake_run, tmp_path):
    (tmp_path / "file").write_text("")
    line = refused("report", fake_run, "--out", tmp_path / "file" / "out", "--normalizer", "identity")
    assert "cannot be written" in line


def test_an_output_folder_with_other_things_in_it(refused, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    assert "is not a run folder" in refused("leaderboard", "--out", tmp_path / "thesis")


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", "RUN", "--out", "r", "--normalizer", "identity"],
        ["plan", "tiny", "--out", "RUN"],
        ["merge", "RUN", "--into", "c"],
    ],
)
def test_run_folders_that_cannot_be_read(refused, arguments, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / MARKER).write_text('{"format": 99}')
    asked = [run if part == "RUN" else part for part in arguments]
    assert "format 99 is newer" in refused(*asked)
    (run / MARKER).write_text('{"format": 1}')
    record = put(run, "0123456789abcdef", {"status": "ok", "error": None})
    record.write_text(record.read_text()[:40])
    line = refused(*asked)
    assert str(record) in line and "cut off" in line


def test_run_folders_that_are_none(refused, tmp_path):
    assert "no such folder" in refused("report", tmp_path / "nowhere", "--out", tmp_path / "r")
    assert "no such folder" in refused("merge", tmp_path / "nowhere", "--into", tmp_path / "c")
    assert "no such folder" in refused("profile", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "is not a run folder" in refused("report", tmp_path / "empty", "--out", tmp_path / "r")
    assert "--out" in refused("profile", tmp_path / "empty")


def test_an_interruption_is_no_traceback(call, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmark.cli.ls.about", interrupted)
    code, _, err = call("ls", "methods")
    assert code == 130
    assert err.startswith("prunebench: interrupted")
