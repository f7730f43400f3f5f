"""Report ``page``: the leaderboard as one HTML file that needs nothing else and opens from disk."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.api import Report
from benchmark.registry import REGISTRY
from benchmark.store.files import write_atomically
from benchmark.store.scoring import MARGIN
from reports import _content as content
from reports import _transcripts as transcripts

if TYPE_CHECKING:
    import pandas as pd

_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
    "form-action 'none'"
)
"""Nothing is fetched from anywhere, and of scripts only those run whose content is known: none that a record holds."""


@REGISTRY.register("report", "page")
class Page(Report):
    """`leaderboard.html`: self-contained; sorts, filters, switches normalisers, unfolds rows to their provenance."""

    together = "pareto"

    def write(self, frame: pd.DataFrame, out: Path | str) -> list[Path]:
        """Write the page.

        Raises:
            StoreError: nothing to report, no scores in the frame, or a record that cannot be read.
        """
        out = Path(out)
        text = page(frame)
        out.mkdir(parents=True, exist_ok=True)
        return [write_atomically(out / "leaderboard.html", text)]


def page(frame: pd.DataFrame) -> str:
    """Return the page. Pictures are drawn anew, so that a file of an earlier run can never stand beside new numbers.

    Every text that comes from a record is escaped by the template, or is JSON that the page's script sets as text.
    """
    from reports import _page_content as filling
    from reports._page_details import MOST, details
    from reports._page_views import views

    seen = views(frame)
    boards, data = filling.boards(seen, frame.attrs.get("splits") or ["test"], frame.attrs.get("margin", MARGIN))
    boxes, selects = filling.choices(seen[0])
    told = details(filling.entries_of(seen[0]), frame)
    return _rendered(
        boards=boards,
        norms=data["norms"],
        choices=boxes,
        selects=selects,
        data=data,
        details=told,
        warnings=filling.left_out(frame),
        whole=told["whole"],
        entries=len(told["entries"]),
        most=MOST,
        definitions=[line.replace("**", "") for line in content.DEFINITIONS],
        **_pictures(frame),
    )


def _pictures(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the Pareto picture, still and to look into, and what several normalisers do to the same transcripts."""
    from benchmark.figures import render
    from reports import normalizers
    from reports._pareto_interactive import figure_html
    from reports.pareto import still

    same = transcripts.same(frame)
    return {
        "picture": base64.b64encode(still(frame, "svg")).decode(),
        "beside": base64.b64encode(render(normalizers.draw(same), "svg")).decode() if same else "",
        "moved": [(one.title, [str(moved) for moved in one.moved]) for one in same],
        "figure": figure_html(frame),
    }


def _rendered(*, data: Any, details: Any, figure: str, **filled: Any) -> str:
    import jinja2
    import markupsafe

    loader = jinja2.PackageLoader("reports")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )

    # What is marked as safe: our own files, JSON that cannot end its element, and a figure that was escaped when made.
    def part(name: str) -> markupsafe.Markup:
        return markupsafe.Markup(loader.get_source(environment, name)[0].rstrip())

    script = part("page.js") + markupsafe.Markup("\n") + part("page_details.js")
    late = part("page_late.js")
    return environment.get_template("leaderboard.html.j2").render(
        css=part("page.css"),
        script=script,
        late=late,
        policy=policy([script, late, *_SCRIPT.findall(figure)]),
        figure=markupsafe.Markup(figure),
        data=markupsafe.Markup(embedded(data)),
        details=markupsafe.Markup(embedded(details)),
        **filled,
    )


def policy(scripts: Iterable[str]) -> str:
    """Return the content security policy of a page with these inline scripts."""
    hashes = (hashlib.sha256(script.replace("\r\n", "\n").encode()).digest() for script in scripts)
    return _POLICY.format(scripts=" ".join(f"'sha256-{base64.b64encode(one).decode()}'" for one in hashes))


def embedded(value: Any) -> str:
    """Return JSON that can stand inside a script element: nothing in it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text
