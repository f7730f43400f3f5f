"""Measure at real size and write the tables into docs/real-size.md, between the markers of their section.

``python -m tests.benchmarks.write_real_size SECTION ... --to docs/real-size.md``; without a section, all of them.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks import compact_speed, encoder_speed, penalty_speed, real_size
from tests.benchmarks.tables import machine, table


def penalty_steps(solver: Any, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the step with one solver beside the step without a penalty."""
    return [penalty_speed.steps(penalty_speed.Bench(options.batch), solver, options.repeats or 3)]


def penalty_parts(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what the penalty takes by itself, as a share of one step at that batch."""
    bench = penalty_speed.Bench(options.batch)
    step = penalty_speed.steps(bench, "proximal", 1)["step without, s"]
    return penalty_speed.parts(bench, step, options.repeats or 5)


def compact(positions: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return compact against dense on one thread, as artefacts are timed."""
    torch.set_num_threads(1)
    short = "token" in positions  # milliseconds, which any neighbour disturbs
    return compact_speed.measure(positions, options.repeats or (41 if short else 7))


def rules(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return all rules, each in a fresh process."""
    with tempfile.TemporaryDirectory() as scratch:
        return [real_size.fresh(rule, Path(scratch) / str(index)) for index, rule in enumerate(real_size.RULES)]


def encoder(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the dense encoder beside half of it."""
    return encoder_speed.measure((1, options.batch), options.repeats or 7)


SECTIONS: dict[str, Callable[[argparse.Namespace], list[dict[str, Any]]]] = {
    "penalty-subgradient": partial(penalty_steps, "subgradient"),
    "penalty-proximal": partial(penalty_steps, "proximal"),
    "penalty-alone": penalty_parts,
    "compact-1-token": partial(compact, "1 token"),
    "compact-16-tokens": partial(compact, "16 tokens"),
    "compact-1500": partial(compact, "1500 positions"),
    "compact-8x1500": partial(compact, "8 x 1500"),
    "rules": rules,
    "encoder": encoder,
}


def replaced(text: str, section: str, body: str) -> str:
    """Return the document with the body of one section's markers exchanged.

    Raises:
        ValueError: the document has no such markers.
    """
    begin, end = f"<!-- begin {section} -->", f"<!-- end {section} -->"
    changed, found = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{body}\n{end}", text, flags=re.DOTALL
    )
    if found != 1:
        raise ValueError(f"{found} pairs of markers {begin} ... {end}")
    return changed


def main() -> None:
    """Measure each section asked for and write it at once, so that a long run loses nothing when it is cut off."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.write_real_size", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=8, help="windows of 30 s in the penalty's and encoder's sections")
    parser.add_argument("--repeats", type=int, default=0, help="instead of each section's own")
    options = parser.parse_args()
    unknown = sorted(set(options.sections) - set(SECTIONS))
    if unknown:
        parser.error(f"no section {unknown[0]}; there are {', '.join(SECTIONS)}")
    for section in options.sections or SECTIONS:
        extra = [f"--{name} {value}" for name, value in (("batch", options.batch), ("repeats", options.repeats))]
        shown = [text for text, usual in zip(extra, ("--batch 8", "--repeats 0"), strict=True) if text != usual]
        command = " ".join(["python -m tests.benchmarks.write_real_size", section, "--to docs/real-size.md", *shown])
        rows = SECTIONS[section](options)
        body = f"`{command}`\n\n{machine()}\n\n{table(rows)}"
        print(f"{body}\n", flush=True)
        options.to.write_text(replaced(options.to.read_text(encoding="utf-8"), section, body), encoding="utf-8")


if __name__ == "__main__":
    main()
