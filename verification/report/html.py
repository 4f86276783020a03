"""The report as one offline HTML file: papers, filters, a card a claim, a table of all rows."""

import base64
import importlib.resources
import json
import math
import pathlib
import re
from collections.abc import Callable, Sequence

import jinja2
from markupsafe import Markup, escape

from ntk_localsgd.evidence import Evidence, Verdict
from verification.report.pages import Card, Findings, Picture, Report, searched
from verification.report.typesetting import pieces

__all__ = ["render", "typeset"]

_LETTERS = {
    "S": "stated in an abstract",
    "P": "published and confirmed",
    "R": "recalled, not confirmed",
    "D": "derived in this project, with proof",
    "D, heuristic": "a scaling argument of this project, without a proof",
    "C": "a conjecture",
}
_MARKS = dict(zip(Verdict, "✔✘○·?", strict=True))
_FILTERS = ("paper", "verdict", "letter", "data", "preset", "device")


def render(shown: Report, link: Callable[[pathlib.Path], str] | None = None) -> str:
    """One file that needs no other: scripts, styles, figures and rows are inside.

    The table's component is DataTables, as the package itables ships it.

    Parameters
    ----------
    shown
        What is shown.
    link
        Where a source file lies, seen from the page; None: sources are named, without a link.
    """
    papers = {card.id: section.paper for section in shown.sections for card in section.cards}
    rows = [_facets(card, row, papers[card.id].name) for card in shown.cards for row in card.rows]
    options = {name: list(dict.fromkeys(row[name] for row in rows if row[name])) for name in _FILTERS}
    bundle = importlib.resources.files("itables") / "html"
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("verification.report", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"typeset": typeset, "number": _number, "image": _image}
    return environment.get_template("page.html.j2").render(
        report=shown,
        options=options,
        titles={section.paper.name: section.paper.title for section in shown.sections},
        letters=_LETTERS,
        marks=_MARKS,
        facets=_facets,
        strip=_strip,
        searched=searched,
        total=Findings.of(shown.cards),
        link=link,
        pictures=[picture for section in shown.sections for picture in section.pictures],
        shown={card.id for card in shown.cards},
        table=Markup(_script(json.dumps(rows, ensure_ascii=False))),
        component=Markup(_script((bundle / "dt_bundle.js").read_text(encoding="utf-8"))),
        styles=Markup((bundle / "dt_bundle.css").read_text(encoding="utf-8")),
    )


def typeset(text: str) -> Markup:
    """Powers and indices of a statement raised and lowered; everything else as it is, escaped.

    >>> typeset("n^16 <= φ^{3/2} λ_min(H^∞)")
    Markup('n<sup>16</sup> &lt;= φ<sup>3/2</sup> λ<sub>min</sub>(H<sup>∞</sup>)')
    """
    parts = ((kind, typeset(part) if kind else escape(part)) for kind, part in pieces(text))
    return Markup("").join(Markup(f"<{kind}>{part}</{kind}>") if kind else part for kind, part in parts)


def _facets(card: Card, row: Evidence, paper: str) -> dict[str, str]:
    """A row as what the filters and the table ask for."""
    return {
        "claim": card.id,
        "paper": paper,
        "verdict": str(row.verdict),
        "letter": card.letter,
        "data": _family(row),
        "preset": row.preset,
        "device": "CPU" if "CPU" in row.device else row.device,
        "setting": row.where,
        "measured": _number(row.measured),
        "relation": row.relation,
        "bound": _number(row.bound),
        "tightness": _number(row.tightness),
        "premise": row.premise.text,
        "conclusion": row.conclusion.text,
    }


def _family(row: Evidence) -> str:
    """The data set's first word, without its size."""
    words = re.findall(r"[^\s,(]+", str(row.setting.get("data", "")))
    return words[0] if words else ""


def _strip(rows: Sequence[Evidence]) -> list[tuple[float, str, str]]:
    """Place between 0 and 1, verdict and setting of each row on an axis of tightness from 10⁻³ to 10³ (1: ½)."""
    return [
        (min(max(0.5 + math.log10(row.tightness) / 6, 0.0), 1.0), str(row.verdict), row.where)
        for row in rows
        if row.tightness is not None and row.tightness > 0
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _image(picture: Picture) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.file.read_bytes()).decode("ascii")


def _script(text: str) -> str:
    """Text that may stand in a script element: nothing in it ends the element."""
    return re.sub("</(?=script)", r"<\\/", text, flags=re.IGNORECASE)
