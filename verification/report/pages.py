"""What a report shows, as plain data: papers, their claims, the rows of each, and figures."""

import dataclasses
import inspect
import json
import os
import pathlib
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.errors import InputError
from ntk_localsgd.evidence import Evidence, Header, Relation, Verdict, read_evidence
from verification.papers import OTHER, Paper
from verification.presets import PRESETS
from verification.registry import CLAIMS, Claim, in_order, is_part

__all__ = [
    "SUMMARY",
    "Card",
    "Findings",
    "Picture",
    "Report",
    "Section",
    "evidence_of",
    "gallery",
    "in_words",
    "links_from",
    "report",
    "searched",
    "worst",
]

#: What a figure that shows all papers' claims together names as its paper.
SUMMARY = "summary"


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure of the gallery: paper, where it lies seen from the report, first sentence, file, and claims it shows."""

    name: str
    paper: str
    link: str
    caption: str
    file: pathlib.Path = pathlib.Path()
    claims: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Card:
    """A claim with its rows."""

    id: str
    claim: Claim | None
    rows: tuple[Evidence, ...]

    @property
    def statement(self) -> str:
        """premise ⇒ conclusion; empty if no claim of today has this id."""
        return self.claim.statement if self.claim else ""

    @property
    def letter(self) -> str:
        """How certain the statement itself is."""
        return self.claim.letter if self.claim else ""

    @property
    def counts(self) -> Counter[Verdict]:
        """How many rows have each verdict."""
        return Counter(row.verdict for row in self.rows)

    @property
    def broken(self) -> int:
        """How many controls broke."""
        return sum(row.control.broke for row in self.rows)

    @property
    def sources(self) -> dict[str, list[pathlib.Path]]:
        """The files in which its bound, the claim, and the jobs that it names are written."""
        if self.claim is None:
            return {}
        script = inspect.getmodule(self.claim.judge)
        names = {getattr(value, "__module__", "") for value in vars(script).values()} if script else set()
        jobs = sorted(name for name in names if isinstance(name, str) and name.startswith("verification.jobs."))
        bounds = [BOUNDS[name].module for name in sorted(BOUNDS, key=len) if is_part(self.id, name)][-1:]
        files = {"bound": [_file(name) for name in bounds], "claim": [self.claim.file]}
        return {kind: paths for kind, paths in (files | {"jobs": [_file(name) for name in jobs]}).items() if paths}

    @property
    def again(self) -> list[str]:
        """The commands that measure the rows once more: one a preset and seed."""
        return list(dict.fromkeys(self._command(row) for row in self.rows))

    def again_alone(self, row: Evidence) -> str:
        """The command that measures one row once more, named by as few of its settings as tell it from the others."""
        others = [o for o in self.rows if o is not row and (o.preset, o.seed) == (row.preset, row.seed)]
        names: list[str] = []
        for name in sorted(row.setting, key=lambda name: name != "data"):
            left = [other for other in others if other.setting.get(name) == row.setting[name]]
            if len(left) < len(others):
                names, others = [*names, name], left
        where = "".join(f" {shlex.quote(f'{name}={row.setting[name]}')}" for name in names)
        return self._command(row) + (f" --where{where}" if where else "")

    def _command(self, row: Evidence) -> str:
        """Runs the claim with a row's preset and seed."""
        script = self.claim.file if self.claim and self.claim.is_users else None
        flags = f" --preset {row.preset}" * (row.preset != "quick") + f" --seed {row.seed}" * bool(row.seed)
        scripts = f" --scripts {shlex.quote(_from_here(script.parent))}" if script else ""
        return f"python -m verification run {self.id} --fresh{flags}{scripts}"


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the rows of a paper say together.

    Attributes
    ----------
    inside, outside
        Rows whose premise is met, or not, and at how many of them the conclusion holds.
    refuted, undecided
        Rows that are counterexamples; rows that are inconclusive.
    recalled, never_inside
        Claims whose statement is recalled; claims of which no row meets the premise, so that nothing is shown.
    worst
        By relation, the tightness nearest to failure of those rows whose conclusion holds.
    """

    inside: tuple[int, int]
    outside: tuple[int, int]
    refuted: int
    undecided: int
    recalled: tuple[str, ...]
    never_inside: tuple[str, ...]
    worst: Mapping[Relation, float]

    @classmethod
    def of(cls, cards: Sequence[Card]) -> "Findings":
        """Count the rows of some claims."""
        rows = [row for card in cards for row in card.rows]
        met, unmet = ([row for row in rows if row.premise.holds is holds] for holds in (True, False))
        verdicts = Counter(row.verdict for row in rows)
        return cls(
            (len(met), verdicts[Verdict.VERIFIED]),
            (len(unmet), verdicts[Verdict.OBSERVED]),
            verdicts[Verdict.REFUTED],
            verdicts[Verdict.INCONCLUSIVE],
            tuple(card.id for card in cards if card.letter.startswith("R")),
            tuple(card.id for card in cards if not any(row.premise.holds for row in card.rows)),
            worst([row for row in rows if row.conclusion.holds]),
        )


@dataclasses.dataclass(frozen=True)
class Section:
    """A paper with its claims and figures."""

    paper: Paper
    cards: tuple[Card, ...]
    pictures: tuple[Picture, ...]

    @property
    def findings(self) -> Findings:
        """What its rows say together."""
        return Findings.of(self.cards)

    @property
    def theorem(self) -> str:
        """What its main theorem's rows say, in a sentence; empty if the paper names none or it has no rows here."""
        cards = [card for card in self.cards if card.id in self.paper.theorem]
        if not cards:
            return ""
        found = Findings.of(cards)
        (met, inside), (unmet, outside) = found.inside, found.outside
        parts = [f"inside its premise it holds in {inside} of {met} rows" if met else "no row meets its premise"]
        parts += [f"outside, its conclusion holds in {outside} of {unmet}"] if unmet else []
        recalled = f"; exponents or constants of {', '.join(found.recalled)} are recalled" if found.recalled else ""
        tight = f"; worst tightness {in_words(found.worst)}" if found.worst else ""
        return f"Its theorem ({', '.join(card.id for card in cards)}): {', '.join(parts)}{tight}{recalled}."


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything that is shown."""

    sections: tuple[Section, ...]
    headers: tuple[Header, ...]
    pictures: tuple[Picture, ...]
    #: Claims whose judge failed, and in which run, with the reason.
    crashed: Mapping[str, str]
    #: Claims that ought to have a row and have none.
    absent: tuple[str, ...]

    @property
    def cards(self) -> list[Card]:
        """All claims."""
        return [card for section in self.sections for card in section.cards]

    @property
    def rows(self) -> list[Evidence]:
        """All rows."""
        return [row for card in self.cards for row in card.rows]

    @property
    def _main(self) -> "Section | None":
        return next((section for section in self.sections if section.theorem), None)

    @property
    def main(self) -> str:
        """Name of the first paper that has a theorem here."""
        return self._main.paper.name if self._main else ""

    @property
    def answers(self) -> dict[str, str]:
        """What is asked first, of that paper: does its theorem hold, how tight is it, what is recalled."""
        if self._main is None:
            return {}
        paper, cards = self._main.paper, [card for card in self._main.cards if card.id in self._main.paper.theorem]
        found, every = Findings.of(cards), Findings.of(self.cards).recalled
        (met, inside), (unmet, outside) = found.inside, found.outside
        holds = f"In {inside} of {met} rows inside its premise" if met else "No row meets its premise"
        holds += f"; outside, its conclusion holds in {outside} of {unmet}" if unmet else ""
        near = (
            f"Where it holds, measured over bound is at worst {in_words(found.worst)}." if found.worst else "Unknown."
        )
        recalled = ", ".join(self._main.findings.recalled) or "nothing"
        return {
            f"Does the main theorem hold ({', '.join(card.id for card in cards)})?": (
                f"{holds}; {found.refuted or 'none'} refuted. {paper.title.partition(':')[0]}."
            ),
            "How tight is it?": near,
            "What rests on recalled numbers?": (
                f"Of this paper {recalled}; in all {len(every)} of {len(self.cards)} claims."
            ),
        }


def report(
    files: Sequence[tuple[Header, Sequence[Evidence]]],
    *,
    expected: Iterable[str] | None = None,
    images: Sequence[Picture] = (),
) -> Report:
    """Arrange rows by paper and claim.

    Parameters
    ----------
    files
        Header and rows of every run.
    expected
        Claims that ought to have a row; None: all there are.
    images
        Figures (`gallery`). The gallery is drawn from the committed evidence's runs, not from those of a report that
        has just been made, which shows none.
    """
    groups: dict[str, list[Evidence]] = {entry.id: [] for entry in in_order()}
    for _, rows in files:
        for row in rows:
            groups.setdefault(row.claim, []).append(row)
    cards = [Card(name, CLAIMS.get(name), tuple(rows)) for name, rows in groups.items() if rows]
    sections = []
    for paper in dict.fromkeys(_section_of(card) for card in cards):
        own = tuple(card for card in cards if _section_of(card) is paper)
        sections.append(Section(paper, own, tuple(image for image in images if image.paper == paper.name)))
    summary = tuple(image for image in images if image.paper == SUMMARY)
    headers = tuple(header for header, _ in files)
    crashed = {f"{name} ({each.preset})": reason for each in headers for name, reason in each.crashed.items()}
    absent = tuple(name for name in (groups if expected is None else expected) if not groups.get(name))
    return Report(tuple(sections), headers, summary, crashed, absent)


def _section_of(card: Card) -> Paper:
    return OTHER if card.claim is None else card.claim.paper


def evidence_of(folder: pathlib.Path) -> list[tuple[Header, list[Evidence]]]:
    """Header and rows of every ``*.json`` file in a folder, in the order of the presets.

    Raises
    ------
    InputError
        If the folder holds none, or one that is no evidence.
    """
    files = [read_evidence(path) for path in sorted(folder.glob("*.json"))]
    if not any(rows for _, rows in files):
        raise InputError(f"evidence folder {folder} holds no evidence: python -m verification run makes it.")
    order = {name: place for place, name in enumerate(("quick", *PRESETS))}
    return sorted(files, key=lambda file: order.get(file[0].preset, len(order)))


def gallery(folder: pathlib.Path, beside: pathlib.Path) -> list[Picture]:
    """Figures of a folder, linked relative to the folder of the report.

    ``index.json`` says which paper each belongs to, and which claims it shows; its caption is the ``.md`` file beside
    the picture.
    """
    index = folder / "index.json"
    if not index.exists():
        return []
    pictures = []
    for name, about in json.loads(index.read_text(encoding="utf-8")).items():
        picture, caption = folder / f"{name}.png", folder / f"{name}.md"
        if picture.exists() and caption.exists():
            link = pathlib.Path(os.path.relpath(picture.resolve(), beside.resolve())).as_posix()
            first, _, _ = caption.read_text(encoding="utf-8").strip().partition(". ")
            sentence = first.rstrip(".") + "."
            pictures.append(Picture(name, about["paper"], link, sentence, picture, tuple(about["claims"])))
    return pictures


def worst(rows: Sequence[Evidence]) -> dict[Relation, float]:
    """By relation, the tightness nearest to failure: the largest for ≤, the smallest for ≥, else farthest from 1."""
    nearest: dict[Relation, Callable[[list[float]], float]] = {"≤": max, "≥": min, "=": _farthest, "within": _farthest}
    values: dict[Relation, list[float]] = {}
    for row in rows:
        if row.tightness is not None:
            values.setdefault(row.relation, []).append(row.tightness)
    return {relation: nearest[relation](each) for relation, each in values.items()}


def in_words(values: Mapping[Relation, float]) -> str:
    """Tightness by relation."""
    return ", ".join(f"{value:.3g} ({relation})" for relation, value in values.items())


def searched(row: Evidence) -> str:
    """What "verified" rests on where no interval decides: in how many trials no counterexample was found."""
    looked = row.verdict is Verdict.VERIFIED and row.interval is None and row.trials > 1 and not row.failures
    climbed = f" settings, {row.searched:,} of them searched for" if row.searched else ""
    return f"no counterexample in {f'{row.trials:,}{climbed}' if climbed else row.trials}" * looked


def _farthest(values: list[float]) -> float:
    return max(values, key=lambda value: abs(value - 1))


def links_from(folder: pathlib.Path) -> Callable[[pathlib.Path], str]:
    """How a page in a folder links to a file of this machine: relatively, so that both may be moved together."""
    return lambda file: pathlib.Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()


def _file(module: str) -> pathlib.Path:
    return pathlib.Path(inspect.getfile(sys.modules[module]))


def _from_here(folder: pathlib.Path) -> str:
    """A folder, relative if it lies below this one."""
    here = pathlib.Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)
