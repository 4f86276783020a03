"""Pages made from what the project holds: the gallery with its captions, bounds with their formulas, the report."""

import pathlib
import shutil

import sympy
from sphinx.application import Sphinx

from figures.commands import GALLERY
from figures.figure import discover
from ntk_localsgd.bounds import BOUNDS
from verification import registry
from verification.report import html, pages

_RELATIONS = {"<=": "≤", ">=": "≥"}
_ROOT = pathlib.Path(pages.__file__).resolve().parents[2]
_EVIDENCE = _ROOT / "verification" / "evidence"


def write(app: Sphinx) -> None:
    """Gallery and bounds, before anything is read."""
    folder = pathlib.Path(app.srcdir) / "generated"
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    registry.discover()
    (folder / "gallery.md").write_text(_gallery(folder), encoding="utf-8")
    (folder / "bounds.md").write_text(_bounds(), encoding="utf-8")


def _gallery(folder: pathlib.Path) -> str:
    """Every committed figure with its caption, paper by paper."""
    parts = ["# Gallery\n\n`make figures` draws these from measurements of your own; `--csv` writes the numbers.\n"]
    figures = discover()
    papers = {paper.name: paper.title for paper, _ in registry.papers()} | {pages.SUMMARY: "All papers"}
    for name, title in papers.items():
        own = [key for key, figure in figures.items() if figure.paper == name and (GALLERY / f"{key}.png").exists()]
        if own:
            parts.append(f"## {title}\n")
        for key in own:
            shutil.copy(GALLERY / f"{key}.png", folder / "pictures")
            caption, title = (GALLERY / f"{key}.md").read_text(encoding="utf-8"), key.replace("_", " ").capitalize()
            parts.append(f"### {title}\n\n![{key}](pictures/{key}.png)\n\n{_plain(caption.strip())}\n")
    return "\n".join(parts)


def _bounds() -> str:
    """Every bound with what it needs, its formula as MathML."""
    parts = ["# Bounds\n\nAs `ntk-localsgd bounds` evaluates and solves them. Letters: see {doc}`/theory`.\n"]
    for claim, bound in sorted(BOUNDS.items()):
        formulas = {f"{_plain(bound.quantity)} {_RELATIONS[bound.relation]}": bound.expression}
        formulas |= {f"premise: {name}": side for name, side in (("m ≥", bound.width), ("η ≤", bound.step)) if side}
        parts.append(f"## {claim}\n\n*{_plain(bound.source)}* [{bound.letter}]\n")
        parts += [f"{words} {_mathml(side)}\n" for words, side in formulas.items()]
    return "\n".join(parts)


def _mathml(formula: sympy.Expr) -> str:
    content = sympy.mathml(formula, printer="presentation")
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML" displaystyle="true">{content}</math>'


def _plain(text: str) -> str:
    """Text in which nothing is Markdown but `code`."""
    pieces = text.split("`")
    for place in range(0, len(pieces), 2):
        for sign in "\\*_|<[":
            pieces[place] = pieces[place].replace(sign, f"\\{sign}")
    return "`".join(pieces)


def report(app: Sphinx, error: Exception | None) -> None:
    """The committed evidence's report, whole, beside the pages."""
    if error is None and app.builder.name == "html":
        shown = pages.report(pages.evidence_of(_EVIDENCE), images=pages.gallery(GALLERY, pathlib.Path(app.outdir)))
        sources = pathlib.Path(app.outdir) / "sources"
        sources.mkdir(exist_ok=True)

        def link(file: pathlib.Path) -> str:
            """A copy beside the report, as text: a site is moved without the checkout."""
            name = "-".join(file.resolve().relative_to(_ROOT).parts) + ".txt"
            shutil.copy(file, sources / name)
            return f"sources/{name}"

        (pathlib.Path(app.outdir) / "report.html").write_text(html.render(shown, link), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect."""
    app.connect("builder-inited", write)
    app.connect("build-finished", report)
    return {"parallel_read_safe": True}
