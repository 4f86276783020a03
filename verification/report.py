"""``paper_checks.md``: what was claimed, what was measured, what follows."""

import json
import pathlib
from collections import Counter
from collections.abc import Sequence

from rich.table import Table

from ntk_localsgd.evidence import LEVEL, Evidence, Verdict
from verification.claims import CLAIMS

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
| – | undecided | ? inconclusive | the confidence interval straddles the threshold |

- The letter says how much is certain about the statement itself: **S** stated in an abstract, **P** published and
  confirmed, **R** published but recalled from memory (exponents or constants not confirmed), **D** derived in this
  project, with proof (`docs/theory.md`).
- *measured / bound* are the two sides of the conclusion where it is closest to failing, *tightness* is their quotient:
  below 1 where the conclusion reads ≤, above 1 where it reads ≥, near 1 where an equality or an exponent is tested.
- *With probability ≥ 1 − δ* is decided by independent seeds and a two-sided 95% Clopper–Pearson interval of the failure
  rate; δ = 0.05 throughout. *Exponents* are means over seeds of fitted slopes with 95% Student intervals. Inequalities
  with proof are checked for every run, exactly up to float64 rounding.
- The *control* changes one setting so that the conclusion must break, and runs through the same code; a check whose
  control does not break is itself broken.
"""


def render(evidence: Sequence[Evidence], crashed: dict[str, str] | None = None) -> str:
    """The report in Markdown.

    Parameters
    ----------
    evidence
        Rows, in the order in which they are shown.
    crashed
        Claims whose script failed, with the reason.

    Returns
    -------
    Markdown text
    """
    parts = [_HOW_TO_READ, _summary(evidence), _rows(evidence)]
    if crashed:
        parts.append("## Crashed\n\n" + "\n".join(f"- {name}: {reason}" for name, reason in crashed.items()) + "\n")
    parts += [_not_known(evidence), _provenance(evidence)]
    return "\n".join(parts)


def summary_table(evidence: Sequence[Evidence]) -> Table:
    """The same for a terminal: one line a claim."""
    table = Table("claim", "verdicts", "tightness", "controls broken")
    for name, rows in _by_claim(evidence).items():
        table.add_row(name, *_digest(rows))
    return table


def _digest(rows: Sequence[Evidence]) -> tuple[str, str, str]:
    """Verdict counts, range of tightness, and how many controls broke."""
    counts = Counter(row.verdict for row in rows)
    tight = [row.tightness for row in rows if row.tightness is not None]
    return (
        ", ".join(f"{counts[v]} {_MARK[v]}" for v in Verdict if counts[v]),
        f"{min(tight):.3g} … {max(tight):.3g}" if tight else "–",
        f"{sum(row.control.broke for row in rows)} of {len(rows)}",
    )


def _by_claim(evidence: Sequence[Evidence]) -> dict[str, list[Evidence]]:
    groups: dict[str, list[Evidence]] = {}
    for row in evidence:
        groups.setdefault(row.claim, []).append(row)
    return groups


def _summary(evidence: Sequence[Evidence]) -> str:
    counts = Counter(row.verdict for row in evidence)
    verdicts = ", ".join(f"{counts[v]} {v}" for v in Verdict if counts[v])
    broke = sum(row.control.broke for row in evidence)
    claims = len({row.claim for row in evidence})
    random = [row for row in evidence if row.interval is not None and row.trials > 1]
    table = ["| claim | | statement | verdicts | tightness | controls broken |", "|---|---|---|---|---|---|"]
    for name, rows in _by_claim(evidence).items():
        entry = CLAIMS.get(name)
        about = (entry.letter, entry.statement) if entry else ("", "")
        table.append(
            "| " + " | ".join(_escape(cell) for cell in (f"[{name}](#{name.lower()})", *about, *_digest(rows))) + " |"
        )
    return (
        f"## Summary\n\n{len(evidence)} rows of {claims} claims: {verdicts or 'none'}. "
        f"{broke} of {len(evidence)} controls broke.\n\n{_multiplicity(random)}\n\n" + "\n".join(table) + "\n"
    )


def _multiplicity(random: Sequence[Evidence]) -> str:
    """What so many intervals allow for."""
    seeds = ", ".join(sorted({str(row.seed) for row in random if row.seed is not None})) or "none"
    wrong = (1 - LEVEL) / 2 * len(random)
    return (
        f"*Multiplicity.* {len(random)} rows rest on random seeds (seed {seeds}; `--seed` repeats them anew), "
        f"each judged by a two-sided interval of level {LEVEL:.0%} or higher. A true claim is refuted if the interval "
        f"lies wholly on the wrong side: at most {(1 - LEVEL) / 2:.1%} of the time, so that up to {wrong:.1f} false "
        f"alarms are to be expected if every claim is true. All other rows are exact up to float64 rounding."
    )


def _not_known(evidence: Sequence[Evidence]) -> str:
    """The claims whose statement itself is recalled."""
    recalled = [name for name in _by_claim(evidence) if (entry := CLAIMS.get(name)) and entry.letter == "R"]
    lines = [
        f"- [{name}](#{name.lower()}): {_escape(CLAIMS[name].statement)}. {CLAIMS[name].source}." for name in recalled
    ]
    return (
        "## What is not known\n\nThe form of these statements is right; their exponents or constants are recalled and "
        "not confirmed against the papers' text. Each stands in one place, `ntk_localsgd/bounds/`, and every verdict "
        "marked [R] rests on one.\n\n" + ("\n".join(lines) or "None of the claims above.") + "\n"
    )


def _rows(evidence: Sequence[Evidence]) -> str:
    sections = []
    for name, rows in _by_claim(evidence).items():
        entry = CLAIMS.get(name)
        head = f"## {name}"
        if entry:
            head += f"\n\n{_escape(entry.statement)}.\n\n*Source* **[{entry.letter}]** {entry.source}. " \
                    f"*Again:* `python -m verification run {name}`"  # fmt: skip
        table = [
            "| setting | premise | conclusion | verdict | measured / bound | tightness | trials (failed), interval |"
            " control |",
            "|---|---|---|---|---|---|---|---|",
        ]
        table += [_line(row) for row in rows]
        sections.append(head + "\n\n" + "\n".join(table) + "\n")
    return "\n".join(sections)


def _line(row: Evidence) -> str:
    interval = f", [{row.interval[0]:.4g}, {row.interval[1]:.4g}]" if row.interval else ""
    control = (
        f"{row.control.setting}: {_number(row.control.measured)}, {'broke' if row.control.broke else '**UNBROKEN**'}"
    )
    cells = [
        row.setting,
        f"{'met' if row.premise.holds else 'not met'}: {row.premise.text}",
        f"{ {True: 'holds', False: 'fails', None: 'undecided'}[row.conclusion.holds] }: {row.conclusion.text}",
        _MARK[row.verdict] + (" [R]" if (entry := CLAIMS.get(row.claim)) and entry.letter == "R" else ""),
        f"{_number(row.measured)} / {_number(row.bound)}",
        _number(row.tightness),
        f"{row.trials} ({row.failures}){interval}",
        control,
    ]
    return "| " + " | ".join(_escape(cell) for cell in cells) + " |"


def _provenance(evidence: Sequence[Evidence]) -> str:
    devices = ", ".join(sorted({row.device for row in evidence if row.device})) or "unknown"
    seeds = ", ".join(sorted({str(row.seed) for row in evidence if row.seed is not None})) or "none"
    versions = sorted({f"{k} {v}" for row in evidence for k, v in row.versions.items()})
    seconds = sum(row.elapsed for row in evidence)
    return (
        f"## Where these numbers come from\n\n- device: {devices}\n- seed: {seeds}\n- versions: {', '.join(versions)}\n"
        f"- time in the checks, runs excluded: {seconds:.0f} s\n"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _escape(text: str) -> str:
    """Bars would end a Markdown cell, asterisks would emphasise."""
    return text.replace("|", "\\|").replace("*", "\\*")


def committed_evidence(folder: pathlib.Path) -> list[Evidence]:
    """All rows of the ``*.json`` files in a folder."""
    rows: list[Evidence] = []
    for path in sorted(folder.glob("*.json")):
        rows += [Evidence.from_json(fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
    return rows
