"""``paper_checks.md``: what was claimed, what was measured, what follows, paper by paper."""

import inspect
import itertools
import json
import os
import pathlib
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from rich.table import Table

from ntk_localsgd.evidence import Evidence, Verdict
from ntk_localsgd.statistics import LEVEL
from verification.claims import CLAIMS, Claim
from verification.context import PRESETS
from verification.papers import OTHER, PAPERS, Paper, paper_of

__all__ = ["SUMMARY_FIGURE", "committed_evidence", "gallery", "render", "section_of", "summary_table"]

#: Figure of all papers' claims together.
SUMMARY_FIGURE = "verdicts"

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
| – | undecided | ? inconclusive | the confidence interval straddles the threshold |

- The letter says how much is certain about the statement itself: **S** stated in an abstract, **P** published and
  confirmed, **R** published but recalled from memory (exponents or constants not confirmed), **D** derived in this
  project, with proof (`docs/theory.md`).
- *measured / bound* are the two sides of the conclusion where it is closest to failing, *tightness* is their quotient:
  below 1 where the conclusion reads ≤, above 1 where it reads ≥, near 1 where an equality or an exponent is tested. The
  summary shows the worst of a claim's rows: the largest for (≤), the smallest for (≥), the one farthest from 1 for (=);
  a range where the conclusion is of another kind.
- *run* is the preset whose evidence the row is from, and the device.
- *With probability ≥ 1 − δ* is decided by independent seeds and a two-sided 95% Clopper–Pearson interval of the failure
  rate; δ = 0.05, for the measured thresholds of C6 0.1. *Exponents* are means over seeds of fitted slopes with 95%
  Student intervals. Inequalities with proof are checked for every run, exactly up to float64 rounding.
- The *control* changes one setting so that the conclusion must break, and runs through the same code; a check whose
  control does not break is itself broken.
"""


class _Row(NamedTuple):
    """A row of evidence, and the preset, or file, that it is from."""

    preset: str
    evidence: Evidence

    @property
    def device(self) -> str:
        """CPU, or what its maker calls an accelerator."""
        return "CPU" if "CPU" in self.evidence.device else self.evidence.device

    @property
    def run(self) -> str:
        """Preset and device."""
        return " · ".join(part for part in (self.preset, self.device) if part)


def render(
    evidence: Mapping[str, Sequence[Evidence]],
    crashed: Mapping[str, str] | None = None,
    *,
    images: Mapping[str, str] | None = None,
) -> str:
    """The report in Markdown.

    Parameters
    ----------
    evidence
        Rows by the preset, or file of committed evidence, that they are from.
    crashed
        Claims whose script failed, with the reason.
    images
        Figures by their name, as Markdown (`gallery`). Without them the report shows none: the gallery is drawn from
        the committed evidence's runs, not from those of a report that has just been made.

    Returns
    -------
    Markdown text
    """
    rows = [_Row(preset, row) for preset, found in evidence.items() for row in found]
    images = images or {}
    papers = _by_paper(rows)
    parts = [_HOW_TO_READ, _summary(rows, papers, images)]
    parts += [_section(paper, claims, images) for paper, claims in papers]
    if crashed:
        parts.append("## Crashed\n\n" + "\n".join(f"- {name}: {reason}" for name, reason in crashed.items()) + "\n")
    parts += [_not_known(papers), _provenance(rows)]
    return "\n".join(parts)


def summary_table(evidence: Sequence[Evidence]) -> Table:
    """One run's claims for a terminal: one line a claim."""
    table = Table("claim", "verdicts", "worst tightness", "controls broken")
    for _, claims in _by_paper([_Row("", row) for row in evidence]):
        for name, rows in claims.items():
            table.add_row(name, *_digest(rows))
    return table


def committed_evidence(folder: pathlib.Path) -> dict[str, list[Evidence]]:
    """The rows of every ``*.json`` file in a folder, by the file's name: the default preset, then the others."""
    files = sorted(folder.glob("*.json"), key=lambda path: (path.stem != "quick", path.stem))
    return {
        path.stem: [Evidence.from_json(fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
        for path in files
    }


def gallery(folder: pathlib.Path, beside: pathlib.Path) -> dict[str, str]:
    """Every figure of a folder as Markdown, linked relative to the folder of the report, with its caption's beginning.

    A figure is a ``.png`` file with a ``.md`` file, its caption, beside it.
    """
    found = {}
    for path in sorted(folder.glob("*.md")):
        picture = path.with_suffix(".png")
        if picture.exists():
            link = pathlib.Path(os.path.relpath(picture.resolve(), beside.resolve())).as_posix()
            begin = re.split(r"(?<=\.)\s", path.read_text(encoding="utf-8").strip(), maxsplit=1)[0]
            found[path.stem] = f"![{path.stem.replace('_', ' ')}]({link})\n\n*{_escape(begin)}*\n"
    return found


def _by_paper(rows: Iterable[_Row]) -> list[tuple[Paper, dict[str, list[_Row]]]]:
    """Papers with their claims, in the order of the evidence, and these with their rows; nothing that has no rows."""
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        groups.setdefault(row.evidence.claim, []).append(row)
    papers = ((paper, {n: groups[n] for n in groups if section_of(n) is paper}) for paper in (*PAPERS, OTHER))
    return [(paper, claims) for paper, claims in papers if claims]


def section_of(name: str) -> Paper:
    """The section of a claim; those of the user's own scripts have one of theirs, whatever their ids."""
    entry = CLAIMS.get(name)
    return OTHER if entry is None or _is_users(entry) else paper_of(name)


def _is_users(entry: Claim) -> bool:
    return entry.check.__module__.startswith("user_checks")


def _digest(rows: Sequence[_Row]) -> tuple[str, str, str]:
    """Verdict counts, worst tightness, and how many controls broke."""
    counts = Counter(row.evidence.verdict for row in rows)
    return (
        ", ".join(f"{counts[v]} {_MARK[v]}" for v in Verdict if counts[v]),
        _worst([row.evidence for row in rows]),
        f"{sum(row.evidence.control.broke for row in rows)} of {len(rows)}",
    )


def _worst(rows: Sequence[Evidence]) -> str:
    """The tightness nearest to failure, for every relation that the rows' conclusions have."""
    by_relation: dict[str, list[float]] = {}
    for row in rows:
        if row.tightness is not None:
            by_relation.setdefault(_relation(row), []).append(row.tightness)
    worst: dict[str, Callable[[list[float]], float]] = {
        "≤": max,
        "≥": min,
        "=": lambda values: max(values, key=lambda value: abs(value - 1)),
    }
    cells = []
    for relation, values in by_relation.items():
        if relation:
            cells.append(f"{worst[relation](values):.3g} ({relation})")
        else:
            cells.append(" … ".join(dict.fromkeys(f"{value:.3g}" for value in (min(values), max(values)))))
    return ", ".join(cells) or "–"


_RELATIONS = {"≤": "≤", "below": "≤", "≥": "≥", ">": "≥", "above": "≥", "=": "=", "exponent": "="}


def _relation(row: Evidence) -> str:
    """≤, ≥ or =, empty if unknown.

    Evidence does not say in which direction its conclusion fails; the conclusion's text does, by its first relation. It
    is not believed where the numbers of a conclusion that holds contradict it.
    """
    found = re.search("|".join(_RELATIONS), row.conclusion.text)
    relation = _RELATIONS[found.group()] if found else ""
    if relation != "=" and row.conclusion.holds and row.tightness is not None and row.bound is not None:
        sides = {"≤": row.tightness <= 1, "≥": row.tightness >= 1}
        if row.bound < 0 or not sides.get(relation, False):
            return ""
    return relation


def _summary(
    rows: Sequence[_Row], papers: Sequence[tuple[Paper, dict[str, list[_Row]]]], images: Mapping[str, str]
) -> str:
    counts = Counter(row.evidence.verdict for row in rows)
    verdicts = ", ".join(f"{counts[v]} {v}" for v in Verdict if counts[v])
    broke = sum(row.evidence.control.broke for row in rows)
    table = [
        "| claim | | statement | verdicts | worst tightness | controls broken | device |",
        "|---|---|---|---|---|---|---|",
    ]
    for paper, claims in papers:
        table.append(f"| **[{_escape(paper.title)}](#{_anchor(paper.title)})** | | | | | | |")
        for name, found in claims.items():
            entry = CLAIMS.get(name)
            about = (entry.letter, entry.statement) if entry else ("", "")
            devices = ", ".join(sorted({row.device for row in found} - {""}))
            table.append(_cells(f"[{name}](#{_anchor(name)})", *about, *_digest(found), devices))
    picture = images.get(SUMMARY_FIGURE, "")
    return (
        f"## Summary\n\n{len(rows)} rows of {sum(len(claims) for _, claims in papers)} claims: {verdicts or 'none'}. "
        f"{broke} of {len(rows)} controls broke.\n\n{_multiplicity([row.evidence for row in rows])}\n\n"
        + "\n".join(table) + "\n" + (f"\n{picture}" if picture else "")
    )  # fmt: skip


def _multiplicity(rows: Iterable[Evidence]) -> str:
    """What so many intervals allow for."""
    several = [row for row in rows if row.trials > 1]
    random = [row for row in several if row.interval is not None]
    others = len(several) - len(random)
    seeds = ", ".join(sorted({str(row.seed) for row in random if row.seed is not None})) or "none"
    wrong = (1 - LEVEL) / 2 * len(random)
    return (
        f"*Multiplicity.* {len(random)} rows rest on random seeds (seed {seeds}; `--seed` repeats them anew), "
        f"each judged by a two-sided interval of level {LEVEL:.0%} or higher. A true claim is refuted if the interval "
        f"lies wholly on the wrong side: at most {(1 - LEVEL) / 2:.1%} of the time, so that up to {wrong:.1f} false "
        f"alarms are to be expected if every claim is true. {others} rows rest on several seeds or runs without an "
        f"interval of their own: what is claimed must hold at each of them, or a threshold is measured. All other rows "
        f"are exact up to float64 rounding."
    )


def _not_known(papers: Sequence[tuple[Paper, dict[str, list[_Row]]]]) -> str:
    """The claims whose statement itself is recalled."""
    names = itertools.chain.from_iterable(claims for _, claims in papers)
    recalled = [entry for name in names if (entry := CLAIMS.get(name)) and entry.letter == "R"]
    lines = [f"- [{e.id}](#{_anchor(e.id)}): {_escape(e.statement)}. {_escape(e.source)}." for e in recalled]
    return (
        "## What is not known\n\nThe form of these statements is right; their exponents or constants are recalled and "
        "not confirmed against the papers' text. Every verdict marked [R] rests on one. The bounds stand in one place, "
        "`ntk_localsgd/bounds/`; the recalled numbers outside of it are listed in "
        "`tests/verification/test_recalled.py`.\n\n" + ("\n".join(lines) or "None of the claims above.") + "\n"
    )


def _section(paper: Paper, claims: Mapping[str, Sequence[_Row]], images: Mapping[str, str]) -> str:
    """A paper: what it says, its figures, and every claim with its rows."""
    pictures = [images[name] for name in paper.figures if name in images]
    blocks = [f"## {paper.title}\n\n{paper.says}\n\n{paper.works}\n", *pictures]
    for name, rows in claims.items():
        entry = CLAIMS.get(name)
        head = f"### {name}\n\n"
        if entry:
            head += f"{_escape(entry.statement)}.\n\n*Source* **[{entry.letter}]** {_escape(entry.source)}. *Again:* "
            head += ", ".join(_again(entry, rows)) + "\n\n"
        table = [
            "| setting | run | premise | conclusion | verdict | measured / bound | tightness | trials (failed), "
            "interval | control |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        blocks.append(head + "\n".join(table + [_line(row) for row in rows]) + "\n")
    return "\n".join(blocks)


def _again(entry: Claim, rows: Sequence[_Row]) -> list[str]:
    """The commands that measure the rows once more: one a preset and seed."""
    scripts = f" --scripts {shlex.quote(_folder(entry))}" if _is_users(entry) else ""
    commands = []
    for row in rows:
        preset = next((name for name in row.preset.split("-") if name in PRESETS), "quick")
        flags = f" --preset {preset}" * (preset != "quick") + f" --seed {row.evidence.seed}" * bool(row.evidence.seed)
        commands.append(f"`python -m verification run {entry.id}{flags}{scripts}`")
    return list(dict.fromkeys(commands))


def _folder(entry: Claim) -> str:
    """The folder of a script, from here if it lies below."""
    folder = pathlib.Path(inspect.getfile(entry.check)).parent
    here = pathlib.Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def _line(row: _Row) -> str:
    found = row.evidence
    interval = f", [{found.interval[0]:.4g}, {found.interval[1]:.4g}]" if found.interval else ""
    broke = "broke" if found.control.broke else "UNBROKEN"
    recalled = (entry := CLAIMS.get(found.claim)) and entry.letter == "R"
    return _cells(
        found.setting,
        row.run,
        f"{'met' if found.premise.holds else 'not met'}: {found.premise.text}",
        f"{ {True: 'holds', False: 'fails', None: 'undecided'}[found.conclusion.holds] }: {found.conclusion.text}",
        _MARK[found.verdict] + (" [R]" if recalled else ""),
        f"{_number(found.measured)} / {_number(found.bound)}",
        _number(found.tightness),
        f"{found.trials} ({found.failures}){interval}",
        f"{found.control.setting}: {_number(found.control.measured)}, {broke}",
    )


def _provenance(rows: Sequence[_Row]) -> str:
    lines = []
    for preset in dict.fromkeys(row.preset for row in rows):
        found = [row.evidence for row in rows if row.preset == preset]
        devices = ", ".join(sorted({row.device for row in found if row.device})) or "unknown"
        seeds = ", ".join(sorted({str(row.seed) for row in found if row.seed is not None})) or "none"
        versions = ", ".join(sorted({f"{k} {v}" for row in found for k, v in row.versions.items()}))
        lines.append(
            f"- **{preset or 'run'}**: {len(found)} rows; device: {devices}; seed: {seeds}; versions: {versions}; "
            f"{sum(row.elapsed for row in found):.0f} s in the checks, runs excluded"
        )
    return "## Where these numbers come from\n\n" + ("\n".join(lines) or "Nowhere: there are no rows.") + "\n"


def _anchor(heading: str) -> str:
    """The anchor that Markdown viewers make of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _cells(*texts: str) -> str:
    """A line of a table."""
    return "| " + " | ".join(_escape(text) for text in texts) + " |"


def _escape(text: str) -> str:
    """Bars would end a Markdown cell, asterisks would emphasise."""
    return text.replace("|", "\\|").replace("*", "\\*")
