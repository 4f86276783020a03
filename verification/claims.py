"""A claim: its statement, how certain it is, the runs it needs, and the function that checks it."""

import dataclasses
import importlib
import importlib.util
import pathlib
from collections.abc import Callable, Iterable

from ntk_localsgd.errors import InputError
from ntk_localsgd.evidence import Evidence
from verification.context import Context
from verification.runs import RunSpec

__all__ = ["CLAIMS", "Claim", "claim", "load_families", "load_scripts", "select"]

Check = Callable[[Context], Iterable[Evidence]]


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
        S stated in an abstract, P published, R recalled, D derived here.
    source
        Paper and theorem, or the section of ``docs/theory.md``.
    check
        Yields one `Evidence` per setting, each with its control.
    runs
        The runs that ``check`` will read.
    """

    id: str
    statement: str
    letter: str
    source: str
    check: Check
    runs: Callable[[Context], Iterable[RunSpec]]


#: Every registered claim by its id, in the order of registration.
CLAIMS: dict[str, Claim] = {}


def claim(
    claim_id: str,
    statement: str,
    *,
    letter: str,
    source: str,
    runs: Callable[[Context], Iterable[RunSpec]] = lambda context: (),  # noqa: ARG005
) -> Callable[[Check], Check]:
    """Register the decorated function as the check of a claim; arguments as in `Claim`."""
    if letter not in "SPRD":
        raise InputError(f"letter of {claim_id} is {letter!r}, needs to be S, P, R or D.")

    def register(check: Check) -> Check:
        if claim_id in CLAIMS:
            raise InputError(f"claim {claim_id} is registered twice: an id names one claim.")
        CLAIMS[claim_id] = Claim(claim_id, statement, letter, source, check, runs)
        return check

    return register


def select(ids: Iterable[str]) -> list[Claim]:
    """The claims with these ids; an id also selects its parts (K4: K4a, K4a-width, …); none selects all.

    Raises
    ------
    InputError
        For an id that no claim has.
    """
    ids = list(ids)
    chosen: dict[str, Claim] = {}
    for wanted in ids:
        parts = {name: entry for name, entry in CLAIMS.items() if is_part(name, wanted)}
        if not parts:
            raise InputError(f"claim {wanted!r} is unknown, needs one out of {', '.join(CLAIMS)}.")
        chosen |= parts
    return [entry for name, entry in CLAIMS.items() if name in chosen or not ids]


def load_families() -> None:
    """Import this project's scripts, one a family, in the order of the theory, which is the order of the report."""
    for family in (
        "kernel_at_init",
        "many_samples",
        "concentration_threshold",
        "kernel_stability",
        "gradients",
        "lazy_training",
        "convergence",
        "local_shrinkage",
        "deep_initialization",
        "deep_perturbation",
        "deep_training",
        "key_property",
        "deep_convergence",
        "federated_convergence",
        "width_exponents",
        "width_thresholds",
        "step_thresholds",
        "prediction",
        "certificates",
        "certificate_traps",
        "certified_widths",
        "certified_run",
    ):
        importlib.import_module(f"verification.{family}")


def load_scripts(folder: pathlib.Path) -> None:
    """Import every .py file of a folder, so that the claims in it register themselves.

    Raises
    ------
    InputError
        If the folder holds no script, or one cannot be imported.
    """
    scripts = sorted(folder.glob("*.py")) if folder.is_dir() else []
    if not scripts:
        raise InputError(f"scripts folder {folder} holds no .py file.")
    for path in scripts:
        spec = importlib.util.spec_from_file_location(f"user_checks.{path.stem}", path)
        if spec is None or spec.loader is None:
            raise InputError(f"script {path} cannot be imported: it is no Python module.")
        try:
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"script {path} cannot be imported ({type(error).__name__}: {error}).") from error


def is_part(name: str, wanted: str) -> bool:
    rest = name.removeprefix(wanted)
    return name.startswith(wanted) and not rest[:1].isdigit()
