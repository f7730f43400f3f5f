"""Report ``page``: the leaderboard as one HTML file that needs nothing else, sorts, and opens from disk."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.api import Report
from benchmark.registry import REGISTRY
from benchmark.store.files import write_atomically
from reports import _content as content
from reports import _transcripts as transcripts

if TYPE_CHECKING:
    import pandas as pd


@REGISTRY.register("report", "page")
class Page(Report):
    """`leaderboard.html`: self-contained, sortable by its headings, light and dark, with the Pareto picture inside."""

    def write(self, frame: pd.DataFrame, out: Path | str) -> list[Path]:
        """Write the page.

        Raises:
            StoreError: nothing to report, or no scores in the frame.
        """
        out = Path(out)
        text = page(frame)
        out.mkdir(parents=True, exist_ok=True)
        return [write_atomically(out / "leaderboard.html", text)]


def page(frame: pd.DataFrame) -> str:
    """Return the page. The picture is drawn anew, so that a file of an earlier run can never stand beside new numbers.

    Every text that comes from a record is escaped by the template.
    """
    import jinja2

    from reports import normalizers
    from reports.pareto import draw, render

    boards = [
        {
            "title": board.title,
            "notes": board.notes,
            "columns": board.columns,
            "sections": [
                {
                    "title": section.title,
                    "rows": list(zip(section.rows["status"], content.cells(section.rows, board.columns), strict=True)),
                }
                for section in board.sections
            ],
        }
        for board in content.boards(frame)
    ]
    same = transcripts.same(frame)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("leaderboard.html.j2").render(
        boards=boards,
        picture=base64.b64encode(render(draw(frame), "svg")).decode(),
        beside=base64.b64encode(render(normalizers.draw(same), "svg")).decode() if same else "",
        moved=[(one.title, [str(moved) for moved in one.moved]) for one in same],
        definitions=[line.replace("**", "") for line in content.DEFINITIONS],
    )
