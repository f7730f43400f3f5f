"""The examples of CONTRIBUTING.md do what it says, in a process of their own: their names stay out of this one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

CHECKS = """
import pandas as pd
from benchmark import get
from benchmark.api import Budget, Fit, Prune

method = get("method", "neurons_only")
program = list(method.program(Budget(kind="prunable_stored", keep=0.5), 10))
assert [type(step) for step in program] == [Fit, Prune, Fit]
assert sum(step.steps for step in program if isinstance(step, Fit)) == 10

plain = get("normalizer", "plain")
assert plain("  Ab  c ") == "ab c" and plain.signature() == "plain:1"
assert get("normalizer", "plain", case=False).signature() == "plain:1[case=off]"

split = get("corpus", "tones").load("test", 3)
assert len(split) == 3 and split.waveform(0).shape == (16000,) and len(split.data_hash) == 64

frame = pd.DataFrame({"cell": ["a", "b"], "label": ["x", "y"], "status": ["ok", "failed"], "error": ["", "why"]})
(path,) = get("report", "failures").write(frame, OUT)
assert path.read_text() == "b\\ty\\twhy\\n"
print("checked")
"""


def test_the_examples_work(tmp_path: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 4
    for number, example in enumerate(examples):
        (tmp_path / f"example_{number}.py").write_text(example, encoding="utf-8")
    imports = "".join(f"import example_{number}\n" for number in range(len(examples)))
    paths = [str(ROOT), str(tmp_path)]
    code = f"import sys\nsys.path[:0] = {paths!r}\nOUT = {str(tmp_path / 'out')!r}\n{imports}{CHECKS}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "checked\n", done.stderr
