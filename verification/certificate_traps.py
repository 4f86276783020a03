"""Certificates that were once believed and are wrong, caught on planted cases: C8-traps.

Each row takes one step out of the proof of ``docs/theory.md`` §5; the true certificate must hold where it is caught.
"""

import contextlib
import dataclasses
import importlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from ntk_localsgd.certificate import Certificate, pairs
from ntk_localsgd.certificate.flow import Predicted, predict
from ntk_localsgd.certificate.model import Problem, RoundModel
from ntk_localsgd.evidence import Condition, Control, Evidence
from verification.certificates import Tally, certify
from verification.certified_cases import (
    correlated_case,
    off_by,
    opposite_case,
    plane_case,
    plant,
    slow_case,
    split_case,
)
from verification.claims import claim
from verification.context import Context
from verification.reference_run import Case

__all__ = ["TRAPS", "Trap"]

_path = importlib.import_module("ntk_localsgd.certificate.path")

# Planted neurons: enough for some to lie in the gap between the wrong bound and what happens.
_PLANTED = 120


class Trap(NamedTuple):
    """A case, the patches that both certificates run under, and what makes the wrong one wrong."""

    name: str
    case: Callable[[], Case]
    common: Callable[[], Any]
    wrong: Callable[[], Any]
    overstate: Callable[[Certificate], Certificate] = lambda proof: proof


def _nothing() -> Any:
    return contextlib.nullcontext()


def _frozen() -> Any:
    """Patterns are never frozen anew; any choice is sound, and this one leaves everything to the switching pairs."""
    return mock.patch.object(pairs.PairBounds, "predicted_patterns", lambda self, patterns: patterns)  # noqa: ARG005


def _active_only() -> Any:
    true = pairs.PairBounds._switching

    def switching(
        self: pairs.PairBounds, j: int, uncertain: Bool[ndarray, "N n"], reach: pairs.Reach, *, local: bool
    ) -> Any:
        return true(self, j, uncertain & self._patterns, reach, local=local)

    return mock.patch.object(pairs.PairBounds, "_switching", switching)


def _no_local_steps() -> Any:
    def server_only(model: RoundModel, start: ndarray, rounds: int) -> Predicted:
        found = predict(model, start, rounds)
        still = np.zeros_like(start)
        return found._replace(first_local=still, last_local=still, local_spread=found.spread)

    return mock.patch.object(_path, "predict", server_only)


def _clients_move_together() -> Any:
    true = pairs.PairBounds.prepare

    def prepare(self: pairs.PairBounds, *arguments: Any) -> None:
        problem = self.problem
        self.problem = problem._replace(same_client=np.ones_like(problem.same_client))
        true(self, *arguments)
        self.problem = problem

    return mock.patch.object(pairs.PairBounds, "prepare", prepare)


def _patterns_never_change() -> Any:
    return mock.patch.object(_path, "gram_changes", lambda inner, *rest: np.full_like(inner, 1e-15))  # noqa: ARG005


def _in_two_norm(proof: Certificate) -> Certificate:
    return dataclasses.replace(proof, constant=1.0)


def _planted(case: Case, seed: int) -> Case:
    """Neurons near one kink."""
    rng = np.random.default_rng(seed)
    neurons = rng.choice(len(case.signs), _PLANTED, replace=False)
    return plant(case, 0.98, neurons, rng.integers(0, len(case.inputs), _PLANTED))


def _pushed(seed: int) -> Case:
    """Neurons that only sample 0 holds, just below the kink of sample 1, whose push then takes them over that of 2."""
    case = off_by(correlated_case(seed), np.array([0.3, 0.8, 0.0]))
    held = (case.weights @ case.inputs.T >= 0) & (case.signs < 0)[:, None]
    neurons = np.random.default_rng(seed).choice(np.flatnonzero(held[:, 0] & ~held[:, 2]), _PLANTED, replace=False)
    case = plant(case, 0.1, neurons, np.full(_PLANTED, 1))
    return plant(case, 0.98, neurons, np.full(_PLANTED, 2))


#: The wrong turns, by what they leave out.
TRAPS = (
    Trap("samples that are inactive at the start push nothing", lambda: _pushed(1), _frozen, _active_only),
    Trap("clients take no local steps", lambda: _planted(split_case(1), 1), _nothing, _no_local_steps),
    Trap("all clients' local steps act together and cancel", lambda: _planted(opposite_case(0), 0),
         _nothing, _clients_move_together),
    Trap("patterns never change", lambda: slow_case(8), _frozen, _patterns_never_change),
    Trap("the M-norm's rate holds in the 2-norm", lambda: plane_case(0), _nothing, _nothing, _in_two_norm),
)  # fmt: skip


@claim(
    "C8-traps",
    "the certificate holds on the planted case, and without the named step of its proof it does not",
    letter="D",
    source="docs/theory.md §5.3",
)
def traps(context: Context) -> Iterator[Evidence]:  # noqa: ARG001 (planted cases do not depend on preset or seed)
    """One planted case a row; the control is the wrong certificate, which must be caught."""
    for trap in TRAPS:
        case, true, wrong = trap.case(), Tally(), Tally()
        with trap.common():
            _add(true, case, lambda proof: proof)
            with trap.wrong():
                _add(wrong, case, trap.overstate)
        yield Evidence(
            "C8-traps", f"planted: {trap.name}", Condition("certified by the path method", true.certified == 1),
            Condition(f"rate, radius and signs hold; {true.astray} pairs astray", true.failed == 0), true.worst, 1.0,
            Control(f"certified as if: {trap.name} ({wrong.astray} pairs astray)", wrong.failed > 0, wrong.worst),
            trials=1, failures=true.failed,
        )  # fmt: skip
    yield _switching_within_a_round()


def _add(tally: Tally, case: Case, change: Callable[[Certificate], Certificate]) -> None:
    proof = certify(case, "path")
    if proof is not None:
        tally.add(case, change(proof))


def _switching_within_a_round() -> Evidence:
    """What a sample adds if its pattern switches at every local step, beside the bound and beside |Σ of the round|."""
    case = correlated_case(0, width=2000)
    problem = Problem.of(case.inputs, case.clients, case.config)
    predicted = predict(RoundModel(case.gram, problem), case.outputs - case.targets, 1)
    steps = case.step_size * np.stack(predicted.local_steps)[:, 0]
    patterns = np.random.default_rng(0).integers(0, 2, (200, *steps.shape))
    sums = (patterns * steps).sum(axis=1)
    worst = float(np.maximum(sums / predicted.local_up, -sums / predicted.local_down).max())
    whole = np.abs(steps.sum(axis=0))
    caught = float((np.abs(sums) / whole).max())
    return Evidence(
        "C8-traps", "planted: the sum over a round bounds what its steps add", Condition("η ≤ 1/λ_max", True),
        Condition("200 random switchings within the bound", worst <= 1), worst, 1.0,
        Control("|Σ_k| of the round's steps in place of Σ_k |·|", caught > 1, caught), trials=200,
    )  # fmt: skip
