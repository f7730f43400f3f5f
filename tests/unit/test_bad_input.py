"""What cannot be compressed is refused in one line and leaves nothing half-written; what can is, by every road."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, WhisperForConditionalGeneration

import benchmark
from benchmark.cli.main import invoke
from benchmark.errors import BudgetMissedError, DataError, SpecError, StoreError
from benchmark.registry import REGISTRY
from benchmark.whisper import files
from benchmark.whisper.compress import compress
from benchmark.whisper.files import load, save
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.surgery import shrink
from benchmark.whisper.view import View
from tests.saved import edit, flip, one_line, pruned_whisper
from tests.tiny import tiny_whisper

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run ``prunebench compress`` in an empty folder; return exit code, stdout and stderr.

    What is written is not opened once more in a fresh process: other tests do that.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "check_folder", lambda *_: None)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = invoke(["compress", *(str(argument) for argument in arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A folder with a Whisper."""
    return save(tiny_whisper(), tmp_path / "whole", check=False)


def heads(model: WhisperForConditionalGeneration) -> list[int]:
    return [group.count for group in Structure.of(model).groups if group.kind == "head"]


def neurons(model: WhisperForConditionalGeneration) -> list[int]:
    return [group.count for group in Structure.of(model).groups if group.kind == "ffn_neuron"]


# --- methods ------------------------------------------------------------------------------------------------------

REFUSED = {
    "compose": "ends in int8 layers, which have no form in a model folder",
    "int8": "ends in int8 layers, which have no form in a model folder",
    "low_rank": "measures on training speech",
    "random_like": "trains with a penalty before it prunes",
    "sgl_adaptive": "trains with a penalty before it prunes",
    "taylor": "measures on training speech",
    "vocab_trim": "needs training transcripts",
    **dict.fromkeys(("dense", "shipped"), "removes nothing"),
    **dict.fromkeys(("imp", "magnitude", "random", "wanda"), "only sets weights to zero"),
}


OURS = [name for name in REGISTRY.names("method") if REGISTRY.owner("method", name).startswith("methods.")]


@pytest.mark.parametrize("name", OURS)
def test_a_method_without_training_and_data_compresses_and_every_other_says_why_not(name: str) -> None:
    model = tiny_whisper()
    if name in REFUSED:
        with pytest.raises(SpecError, match=f"'{name}' {REFUSED[name]}") as caught:
            benchmark.compress(model, name, keep=0.5)
        one_line(caught, "use `prunebench run`")
    else:
        small = benchmark.compress(model, name, keep=0.5)
        assert Structure.of(small).prunable == pytest.approx(Structure.of(model).prunable / 2, rel=0.02)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"loss": "ce+kd"}, r"trains with loss = ce\+kd, and compress trains nothing"),
        ({"refill": True}, "a Refill step"),
    ],
)
def test_a_switch_of_the_training_is_refused_and_not_ignored(options: dict[str, object], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        compress(tiny_whisper(), "l1_group", keep=0.5, **options)


def test_a_composition_is_refused_for_what_its_parts_need(call: Call, whole: Path) -> None:
    for name, said in (("l1_group+vocab_trim", "needs training transcripts"), ("int8 + l1_group", "ends in int8")):
        code, _, err = call(whole, "--method", name, "--keep", "0.5", "--to", "small")
        assert code == 2 and f"method {name!r} {said}" in err


def test_options_mean_the_same_in_python_and_in_the_shell(call: Call, whole: Path, tmp_path: Path) -> None:
    in_python = benchmark.compress(load(whole), "l1_group", keep=0.5, groups=("head",), scope="layer")
    asked = ("--method", "l1_group", "--keep", "0.5", "--option", "groups=[head]", "--option", "scope=layer")
    code, _, err = call(whole, *asked, "--to", tmp_path / "small")
    assert (code, err) == (0, "")
    in_the_shell = load(tmp_path / "small")
    assert heads(in_the_shell) == heads(in_python) and neurons(in_the_shell) == [64] * 4
    assert sum(heads(in_the_shell)) == sum(heads(load(whole))) / 2
    assert all(torch.equal(value, in_python.state_dict()[name]) for name, value in in_the_shell.state_dict().items())


# --- too little kept ----------------------------------------------------------------------------------------------


def test_the_last_head_and_neuron_stay_and_that_is_said(call: Call, tmp_path: Path) -> None:
    model = tiny_whisper()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "encoder.layers.1.self_attn" in name or "decoder.layers.0.fc" in name:
                parameter.mul_(1e-3)
    folder = save(model, tmp_path / "weak", check=False)
    code, out, _ = call(folder, "--method", "l1_group", "--keep", "0.5", "--to", "small")
    assert code == 0
    (line,) = (line for line in out.splitlines() if line.startswith("kept whatever the budget"))
    for lone in ("head of model.encoder.layers.1.self_attn", "neuron of model.decoder.layers.0.ffn"):
        assert f"the last {lone}" in line
    assert line.count("the last") == (heads(load(tmp_path / "small")) + neurons(load(tmp_path / "small"))).count(1)
    _, out, _ = call(folder, "--method", "l1_group", "--keep", "0.99", "--to", "large")
    assert "kept whatever" not in out


def test_a_budget_below_one_head_and_one_neuron_a_layer_is_an_error_that_names_them(call: Call, whole: Path) -> None:
    code, out, err = call(whole, "--method", "l1_group", "--keep", "0.05", "--to", "small")
    least = sum(group.weights for group in Structure.of(tiny_whisper()).groups)
    assert code == 2 and not out and not Path("small").exists()
    share = least / Structure.of(tiny_whisper()).prunable
    assert f"one head and one neuron a layer, which always stay, are {share:.4f} of them" in err
    with pytest.raises(BudgetMissedError) as caught:  # whole layers may go: the reason is another
        compress(tiny_whisper(), "layer_drop", keep=0.05)
    one_line(caught, "keep = 0.05 of the weights that may go is missed", "is what is reached near it")
    assert "one neuron" not in str(caught.value)


def test_a_missed_keep_is_said_as_it_was_asked_and_what_is_said_to_be_reached_is(call: Call, whole: Path) -> None:
    asked = (whole, "--method", "l1_group", "-o", "groups=[head]", "-o", "scope=layer", "--to", "small")
    code, _, err = call(*asked, "--keep", "0.56")  # 2.24 of 4 heads, 4.48 of 8: all layers round down
    assert code == 2 and "prunable_stored" not in err
    assert "keep = 0.56 of the weights that may go is missed: 0.5000 is what is reached near it" in err
    assert err.endswith("give another keep, or scope=global\n")
    assert call(*asked, "--keep", "0.5")[0] == 0


# --- models -------------------------------------------------------------------------------------------------------


def bert(folder: Path) -> None:
    BertConfig().save_pretrained(folder)


def no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def lost(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def changed(folder: Path) -> None:
    flip(folder / "model.safetensors")


def newer(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "checksums.json").unlink()
    edit(folder / "config.json", kept_shape={**config["kept_shape"], "format": 99})


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (bert, "a model of type 'bert', not a Whisper"),
        (no_json, "config.json: cannot be read"),
        (lost, "model.safetensors: missing"),
        (changed, "model.safetensors: changed since it was saved"),
        (newer, "kept_shape of format 99"),
    ],
)
def test_a_folder_that_is_no_whole_whisper_is_refused_and_nothing_is_written(
    call: Call, tmp_path: Path, harm: Callable[[Path], None], said: str
) -> None:
    folder = save(pruned_whisper(), tmp_path / "model", check=False)
    harm(folder)
    before = sorted(tmp_path.rglob("*"))
    code, out, err = call(folder, "--method", "l1_group", "--keep", "0.5", "--to", "small")
    assert code == 2 and not out
    assert err.startswith("prunebench: error: ") and err.count("\n") == 1 and said in err
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises((DataError, StoreError)) as caught:
        load(folder)
    one_line(caught, said)


@pytest.mark.parametrize("method", ["l1_group", "random_structured", "layer_drop"])
@pytest.mark.parametrize("name", ["model.encoder.layers.0.fc1.weight", "model.decoder.layer_norm.bias"])
def test_weights_that_are_not_finite_are_refused_by_name_even_where_no_rule_reads_them(method: str, name: str) -> None:
    model = tiny_whisper()
    with torch.no_grad():
        model.get_parameter(name)[3] = torch.nan
    with pytest.raises(SpecError) as caught:
        compress(model, method, keep=0.5)
    one_line(caught, name, "not finite")


def test_a_plan_of_another_model_is_refused_by_surgery_and_view() -> None:
    model, other = tiny_whisper(), Structure.of(tiny_whisper(d=64, layers=(3, 3), ffn=128))
    (fc1,) = (matrix for matrix in other.matrices if matrix.name == "model.encoder.layers.0.fc1.weight")
    for plan in (
        Plan(masks={fc1.name: torch.zeros(fc1.shape, dtype=torch.bool)}),
        Plan({"model.encoder.layers.0.ffn": torch.tensor([100])}),
        Plan({"model.encoder.layers.2.ffn": torch.tensor([0])}),
        Plan({"model.decoder.layers": torch.tensor([2])}),
    ):
        for refuse in (
            lambda plan=plan: shrink(model, plan),
            lambda plan=plan: View(model, Structure.of(model), plan, 0),
        ):
            with pytest.raises(SpecError) as caught:
                refuse()
            one_line(caught, "model")
