"""A claim: its statement, how certain it is, the jobs it needs, and the function that judges their results."""

import dataclasses
import functools
import importlib
import importlib.util
import inspect
import pathlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping

from ntk_localsgd.errors import InputError, unknown_name
from ntk_localsgd.evidence import Evidence
from ntk_localsgd.provenance import code_fingerprint, device_name
from verification.context import Context
from verification.engine import Results
from verification.jobs.search import Ratio, Search
from verification.judging import searched_for
from verification.papers import OTHER, Paper
from verification.store import Job

__all__ = ["CLAIMS", "Claim", "claim", "discover", "in_order", "load_scripts", "select"]

Needs = Callable[[Context], Iterable[Job]]
Judge = Callable[[Context, Results], Iterable[Evidence]]
Attack = Mapping[str, Ratio]

#: How certain a statement itself is.
LETTERS = ("S", "P", "R", "D", "D, heuristic", "C")

#: Modules of scripts outside the project are named so.
SCRIPTS = "user_checks"


@dataclasses.dataclass(frozen=True)
class Claim:
    """One line of the theory, checkable.

    Attributes
    ----------
    id
        As in ``docs/theory.md``; a part is named after a dash or by a letter (K4a, S4-slope).
    statement
        premise ⇒ conclusion, in symbols.
    letter
        One of `LETTERS`: S stated in an abstract, P published, R recalled, D derived here, with proof or by heuristics,
        C conjectured.
    source
        Paper and theorem, or the section of ``docs/theory.md``.
    paper
        The section of the report that it belongs to.
    needs
        The jobs that ``judge`` will read.
    judge
        Yields one `Evidence` a setting, each with its control; it computes nothing that takes long.
    attack
        By setting in words, measured over bound as a function of all that the claim leaves open, for ``run --attack``
        to search for counterexamples.
    """

    id: str
    statement: str
    letter: str
    source: str
    paper: Paper
    needs: Needs
    judge: Judge
    attack: Attack | None = dataclasses.field(default=None, hash=False)  # a mapping has no hash

    @property
    def file(self) -> pathlib.Path:
        """The script that judges it."""
        return pathlib.Path(inspect.getfile(self.judge))

    @property
    def is_users(self) -> bool:
        """Whether it comes from a script outside the project."""
        return self.judge.__module__.startswith(SCRIPTS)

    def jobs(self, context: Context) -> tuple[Job, ...]:
        """What it needs, found once a context: saying so may load every data set of a sweep."""
        return _jobs(self, context)

    def rows(self, context: Context, results: Results) -> list[Evidence]:
        """Its evidence, stamped with claim, preset, seed, device and code.

        Raises
        ------
        InputError
            If it yields nothing, what is no evidence, or another claim's row; or if it reads a job it does not need.
        """
        own = results.only(self.jobs(context))
        stamp = {
            "claim": self.id,
            "preset": context.preset.name,
            "seed": context.seed,
            "device": device_name(),
            "code": _code(self.file)[:12],
        }
        rows = []
        for row in (*self.judge(context, own), *self._attacked(context, own)):
            if not isinstance(row, Evidence):
                raise InputError(f"claim {self.id} yields a {type(row).__name__}, needs to yield Evidence.")
            if row.claim not in ("", self.id):
                raise InputError(f"claim {self.id} yields a row of {row.claim!r}, needs to yield its own.")
            rows.append(dataclasses.replace(row, **stamp))  # type: ignore[arg-type]
        if not rows:
            raise InputError(f"claim {self.id} yields no row: at least one is needed.")
        return rows

    def _searches(self, context: Context) -> dict[str, Search]:
        """Searches for counterexamples by what they go through; none unless they are asked for."""
        if self.attack is None or not context.attack:
            return {}
        sizes, seeds = context.preset, context.seeds(f"attack {self.id}", len(self.attack))
        return {
            name: Search(ratio, seed, sizes.attack_restarts, sizes.attack_steps)
            for (name, ratio), seed in zip(self.attack.items(), seeds, strict=True)
        }

    def _attacked(self, context: Context, results: Results) -> Iterator[Evidence]:
        """One row a search."""
        for name, search in self._searches(context).items():
            yield searched_for(name, results[search])


@functools.cache
def _code(file: pathlib.Path) -> str:
    """Fingerprint of a script, once for all of its claims."""
    return code_fingerprint(file)


@functools.cache
def _jobs(entry: Claim, context: Context) -> tuple[Job, ...]:
    return (*entry.needs(context), *entry._searches(context).values())


#: Every registered claim by its id.
CLAIMS: dict[str, Claim] = {}


def no_jobs(context: Context) -> Iterable[Job]:  # noqa: ARG001 (all needs have one interface)
    """For claims that are decided by symbols or by what is computed in a moment."""
    return ()


def claim(
    claim_id: str,
    statement: str,
    *,
    letter: str,
    source: str,
    paper: Paper = OTHER,
    needs: Needs = no_jobs,
    attack: Attack | None = None,
) -> Callable[[Judge], Judge]:
    """Register the decorated function as the judge of a claim; arguments as in `Claim`."""
    if letter not in LETTERS:
        raise InputError(f"letter of {claim_id} is {letter!r}, needs to be one of {'; '.join(LETTERS)}.")

    def register(judge: Judge) -> Judge:
        if claim_id in CLAIMS:
            raise InputError(f"claim {claim_id} is registered twice: an id names one claim.")
        CLAIMS[claim_id] = Claim(claim_id, statement, letter, source, paper, needs, judge, attack)
        return judge

    return register


def in_order() -> list[Claim]:
    """All registered claims: paper by paper, ids in their natural order."""
    return sorted(CLAIMS.values(), key=lambda entry: (entry.paper.position, entry.paper.title, _natural(entry.id)))


def _natural(claim_id: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|\D+", claim_id)]


def select(names: Iterable[str]) -> list[Claim]:
    """The claims with these ids or of these papers; a beginning of ids selects all (K4: K4a, K4a-width, …); none: all.

    What is an id itself selects that claim alone, so that C8 is run without C8-widths; ``C8-`` selects its parts.

    Raises
    ------
    InputError
        For a name that neither a claim nor a paper has.
    """
    names, chosen = list(names), set()
    for name in names:
        of_paper = {entry.id for entry in CLAIMS.values() if entry.paper.name == name}
        parts = {name} & CLAIMS.keys() or of_paper or {each for each in CLAIMS if is_part(each, name)}
        if not name or not parts:
            papers = dict.fromkeys(entry.paper.name for entry in in_order())
            raise InputError(unknown_name("claim or paper", name, [*CLAIMS, *papers]))
        chosen |= parts
    return [entry for entry in in_order() if entry.id in chosen or not names]


def is_part(claim_id: str, name: str) -> bool:
    """Whether an id is a name or one of its parts: K4a-width is one of K4 and of K4a, K41 is none."""
    rest = claim_id.removeprefix(name)
    return claim_id.startswith(name) and not rest[:1].isdigit()


def discover() -> None:
    """Import every module of ``verification/claims/``, so that the claims in it register themselves.

    Those of a folder without ``__init__.py`` too, which `pkgutil` passes over in silence.
    """
    root = pathlib.Path(importlib.import_module("verification.claims").__path__[0])
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        importlib.import_module(".".join(("verification.claims", *parts)).removesuffix(".__init__"))


def load_scripts(folder: pathlib.Path) -> None:
    """Import every .py file of a folder, so that the claims in it register themselves; they may import each other.

    Raises
    ------
    InputError
        If the folder holds no script, or one cannot be imported.
    """
    scripts = sorted(folder.glob("*.py")) if folder.is_dir() else []
    if not scripts:
        raise InputError(f"scripts folder {folder} holds no .py file.")
    sys.path.append(str(folder.resolve()))
    for path in scripts:
        _load(path)


def _load(path: pathlib.Path) -> None:
    name = f"{SCRIPTS}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"script {path} cannot be imported: it is no Python module.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles look their module up
    try:
        spec.loader.exec_module(module)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"script {path} cannot be imported ({type(error).__name__}: {error}).") from error


def papers() -> Iterator[tuple[Paper, list[Claim]]]:
    """Papers in the order of the report, with their claims."""
    entries = in_order()
    for paper in dict.fromkeys(entry.paper for entry in entries):
        yield paper, [entry for entry in entries if entry.paper is paper]
