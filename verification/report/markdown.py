"""The report as Markdown, ``paper_checks.md``, and its summary for a terminal."""

import re
from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table

from ntk_localsgd.evidence import Evidence, Header, Relation, Verdict
from ntk_localsgd.statistics import LEVEL
from verification.papers import Line
from verification.report.pages import Card, Picture, Report, Section, report, worst

__all__ = ["render", "summary_table"]

_MARK = {
    Verdict.VERIFIED: "✔ verified",
    Verdict.OBSERVED: "○ observed",
    Verdict.SILENT: "· silent",
    Verdict.INCONCLUSIVE: "? inconclusive",
    Verdict.REFUTED: "✘ refuted",
}

_HOW_TO_READ = """\
# Paper checks

Every row is a claim *premise ⇒ conclusion* in one setting. Premise and conclusion are decided separately:

| premise | conclusion | verdict | reading |
|---|---|---|---|
| met | holds | ✔ verified | the theorem, inside its own hypothesis, holds |
| met | fails | ✘ refuted | a counterexample, or a bug |
| not met | holds | ○ observed | the theorem is silent here, its conclusion holds anyway: it is conservative |
| not met | fails | · silent | the theorem is silent and the conclusion fails |
| – | undecided | ? inconclusive | the confidence interval straddles the threshold, or the control did not break |

- The letter says what is certain about the statement: **S** stated in an abstract, **P** published and confirmed,
  **R** published but recalled from memory (exponents or constants not confirmed), **D** derived here with proof
  (`docs/theory.md`); **D, heuristic** scaling arguments without one; **C** a conjecture.
- *measured, bound* are the sides of the conclusion where it is closest to failing; ± is the tolerance that decides.
  *Tightness* is their quotient; the summary shows the worst of a claim's rows: the largest for (≤), the smallest for
  (≥), the one farthest from 1 for (=) and (within). *run* is the preset and device.
- Here stand one line a claim, and in full the rows that fail inside their premise or are undecided. **All rows**, with
  filters, stand in `report.html`: `make verify` writes one of your own run into `results/`, `make report` that of this
  file's evidence into `build/`.
- *With probability ≥ 1 − δ* is decided by independent seeds and a two-sided 95% Clopper–Pearson interval of the failure
  rate; δ = 0.05 unless the row names another. *Exponents* are means over seeds of fitted slopes with 95% Student
  intervals. Inequalities with proof are checked for every run, exactly up to float64 rounding.
- The *control* changes one setting so that the conclusion must break, through the same code; a row whose control does
  not break is not counted as verified.
"""


def render(shown: Report) -> str:
    """The report as Markdown text."""
    cards = {card.id: card for card in shown.cards}
    parts = [_HOW_TO_READ, _summary(shown), *(_section(section, cards) for section in shown.sections)]
    if shown.crashed:
        lines = "\n".join(f"- {name}: {_escape(reason)}" for name, reason in shown.crashed.items())
        parts.append(f"## Crashed\n\n{lines}\n")
    if shown.absent:
        parts.append(f"## Without a row here\n\n{', '.join(shown.absent)}.\n")
    return "\n".join([*parts, _recalled(shown), _provenance(shown)])


def summary_table(rows: Sequence[Evidence]) -> Table:
    """One run's claims for a terminal: one line a claim."""
    table = Table("claim", "verdicts", "worst tightness", "controls broken")
    for card in report([(Header("", 0, "", "", {}), rows)]).cards:
        table.add_row(card.id, *_digest(card))
    return table


def _digest(card: Card) -> tuple[str, str, str]:
    """Verdict counts, worst tightness, and how many controls broke."""
    counts = ", ".join(f"{card.counts[v]} {_MARK[v]}" for v in Verdict if card.counts[v])
    return counts, _worst(worst(card.rows)), f"{card.broken} of {len(card.rows)}"


def _worst(values: Mapping[Relation, float]) -> str:
    return ", ".join(f"{value:.3g} ({relation})" for relation, value in values.items()) or "–"


def _named(card: Card) -> str:
    """Its id as a place that links lead to."""
    return f'<a id="{_anchor(card.id)}"></a>{card.id}'


def _linked(name: str) -> str:
    return f"[{name}](#{_anchor(name)})"


def _summary(shown: Report) -> str:
    """Counts, and a line a paper."""
    rows = shown.rows
    verdicts = [row.verdict for row in rows]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in Verdict if v in verdicts) or "none"
    broke = sum(row.control.broke for row in rows)
    table = [
        "| paper | inside its premise | outside | refuted | undecided | worst tightness | recalled numbers "
        "| not shown: premise never met |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for section in shown.sections:
        found, title = section.findings, section.paper.title
        hold = (f"{holds} of {count} hold" if count else "–" for count, holds in (found.inside, found.outside))
        lists = (", ".join(map(_linked, ids)) or "–" for ids in (found.recalled, found.never_inside))
        numbers = (str(found.refuted or "none"), str(found.undecided), _worst(found.worst))
        table.append(_cells(f"[{title}](#{_anchor(title)})", *hold, *numbers, *lists))
    theorems = [f"- *{_escape(s.paper.title)}.* {s.theorem}" for s in shown.sections if s.theorem]
    return (
        f"## Summary\n\n{len(rows)} rows of {len(shown.cards)} claims: {counts}. {broke} of {len(rows)} controls "
        f"broke.\n\n"
        + "\n".join(table)
        + "\n\n"
        + "\n".join(theorems)
        + f"\n\n{_multiplicity(rows)}\n"
        + "".join(map(_picture, shown.pictures))
    )


def _multiplicity(rows: Iterable[Evidence]) -> str:
    """What so many intervals allow for."""
    several = [row for row in rows if row.trials > 1]
    random = [row for row in several if row.interval is not None]
    seeds = ", ".join(sorted({str(row.seed) for row in random if row.seed is not None})) or "none"
    tail = (1 - LEVEL) / 2
    return (
        f"*Multiplicity.* {len(random)} rows rest on random seeds (seed {seeds}; `--seed` repeats them anew), "
        f"each judged by a two-sided interval of level {LEVEL:.0%} or higher. A true claim is refuted if the interval "
        f"lies wholly on the wrong side: at most {tail:.1%} of the time, so that up to {tail * len(random):.1f} false "
        f"alarms are to be expected if every claim is true. {len(several) - len(random)} rows rest on several seeds or "
        f"runs without an interval of their own: what is claimed must hold at each of them, or a threshold is "
        f"measured. All other rows are one comparison each, exact up to float64 rounding or within the interval of a "
        f"simulation that their conclusion names."
    )


def _section(section: Section, cards: Mapping[str, Card]) -> str:
    """A paper: what it says, its abstract with what tests it, its figures, and every claim with its rows."""
    paper = section.paper
    blocks = [f"## {paper.title}\n\n{paper.says}\n\n{paper.works}\n"]
    if paper.abstract:
        lines = [_cells(f"“{line.text}”", _tested(line, cards)) for line in paper.abstract]
        blocks.append("\n".join(["| the abstract, line by line | tested by |", "|---|---|", *lines]) + "\n")
    return "\n".join([*blocks, *map(_picture, section.pictures), _cards(section.cards), _open(section.cards)])


def _marks(card: Card) -> str:
    """How many rows have each verdict, by its mark."""
    return ", ".join(f"{card.counts[verdict]} {_MARK[verdict][0]}" for verdict in Verdict if card.counts[verdict])


def _tested(line: Line, cards: Mapping[str, Card]) -> str:
    """The claims that test a line with the verdicts of their rows, and what none does."""
    parts = [
        f"[{name}](#{_anchor(name)}) ({_marks(cards[name])})" if name in cards else f"{name} (no row here)"
        for name in line.claims
    ]
    return "; ".join([*parts, *(f"not tested: {line.untested}" for _ in line.untested[:1])])


def _cards(cards: Sequence[Card]) -> str:
    """A line a claim."""
    table = ["| claim | | statement | verdicts | worst tightness |", "|---|---|---|---|---|"]
    table += [f"| {_named(card)} {_cells(card.letter, card.statement, *_short(card))}" for card in cards]
    return "\n".join(table) + "\n"


def _short(card: Card) -> tuple[str, str]:
    """Verdict counts with the controls that did not break, and worst tightness."""
    counts, tightness, _ = _digest(card)
    whole = len(card.rows) - card.broken
    return f"{counts}, {whole} controls UNBROKEN" if whole else counts, tightness


def _open(cards: Sequence[Card]) -> str:
    """The rows that fail or are undecided, in full, and the command that measures them again.

    Of rows outside their premise, of which the theorem does not speak, the number is enough.
    """
    failing = [(card, row) for card in cards for row in card.rows if not row.conclusion.holds or not row.control.broke]
    rows = [(card, row) for card, row in failing if row.verdict is not Verdict.SILENT]
    silent = len(failing) - len(rows)
    beyond = f"Outside their premise {silent} rows fail; they stand in `report.html`.\n" if silent else ""
    if not rows:
        return beyond
    table = [
        *([beyond] if beyond else []),
        "Rows whose conclusion fails inside its premise, or is undecided:\n",
        "| claim | setting | run | premise | conclusion | verdict | measured, bound | trials (failed), interval "
        "| control |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    again = ", ".join(f"`{command}`" for command in _together({card.id: card for card, _ in rows}))
    return "\n".join([*table, *(_line(card, row) for card, row in rows), "", f"*Again:* {again}"]) + "\n"


def _together(cards: dict[str, Card]) -> list[str]:
    """The commands that measure these claims' rows again, one for all claims that are run alike."""
    alike: dict[tuple[str, str], list[str]] = {}
    for name, card in cards.items():
        for command in card.again:
            before, _, after = command.partition(f" {name} ")
            alike.setdefault((before, after), []).append(name)
    return [" ".join((before, *names, after)) for (before, after), names in alike.items()]


def _line(card: Card, row: Evidence) -> str:
    interval = f", [{row.interval[0]:.4g}, {row.interval[1]:.4g}]" if row.interval else ""
    conclusion = {True: "holds", False: "fails", None: "undecided"}[row.conclusion.holds]
    tolerance = f" ± {row.tolerance:.3g}" * bool(row.tolerance)
    return _cells(
        card.id,
        row.where,
        " · ".join(part for part in (row.preset, _device(row)) if part),
        f"{'met' if row.premise.holds else 'not met'}: {row.premise.text}",
        f"{conclusion}: {row.conclusion.text}",
        _MARK[row.verdict] + " [R]" * card.letter.startswith("R"),
        f"{_number(row.measured)} {row.relation} {_number(row.bound)}{tolerance}",
        f"{row.trials} ({row.failures}){interval}",
        f"{row.control.setting}: {_number(row.control.measured)}, {'broke' if row.control.broke else 'UNBROKEN'}",
    )


def _recalled(shown: Report) -> str:
    """The claims whose statement itself is recalled."""
    recalled = ", ".join(_linked(card.id) for card in shown.cards if card.letter.startswith("R"))
    return (
        "## What is not known\n\nThe form of these statements is right; their exponents or constants are recalled and "
        "not confirmed against the papers' text. Every verdict marked [R] rests on one. The bounds stand in one place, "
        "`ntk_localsgd/bounds/`; the recalled numbers outside of it are listed in "
        f"`tests/verification/test_recalled.py`.\n\n{recalled or 'None of the claims above.'}\n"
    )


def _provenance(shown: Report) -> str:
    lines = []
    for header in shown.headers:
        versions = ", ".join(f"{name} {version}" for name, version in header.versions.items())
        code = f"; commit {header.commit}" if header.commit else ""
        lines.append(f"- **{header.preset}**: seed {header.seed}; {header.device}{code}; {versions}")
    return "## Where these numbers come from\n\n" + ("\n".join(lines) or "Nowhere: there are no rows.") + "\n"


def _picture(picture: Picture) -> str:
    return f"\n![{picture.name.replace('_', ' ')}]({picture.link})\n\n*{_escape(picture.caption)}*\n"


def _device(row: Evidence) -> str:
    """CPU, or what its maker calls an accelerator."""
    return "CPU" if "CPU" in row.device else row.device


def _anchor(heading: str) -> str:
    """The anchor that Markdown viewers make of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _cells(*texts: str) -> str:
    """A line of a table."""
    return "| " + " | ".join(_escape(text) for text in texts) + " |"


def _escape(text: str) -> str:
    """Bars and newlines would end a Markdown cell; asterisks and underscores emphasise, angles begin HTML."""
    return re.sub(r"([|*_<`])", r"\\\1", " ".join(text.split()))
