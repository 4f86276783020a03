"""Certificates that were once believed and are wrong, on planted cases: one step of the proof left out at a time.

``docs/theory.md`` §5; the true certificate must hold where the wrong one is caught.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy import ndarray

from ntk_localsgd.certificate import Certificate
from ntk_localsgd.certificate.flow import Predicted, predict
from ntk_localsgd.certificate.model import Problem, RoundModel
from ntk_localsgd.certificate.two_layer.neurons import NearKinks
from ntk_localsgd.certificate.two_layer.reach import Reach, chord_ends, switching_shares
from ntk_localsgd.certificate.two_layer.steps import PROVED, Steps
from verification.jobs.certificates import Tally, certify
from verification.jobs.certified_cases import (
    correlated_case,
    off_by,
    opposite_case,
    plane_case,
    plant,
    slow_case,
    split_case,
)
from verification.jobs.reference import Case

__all__ = ["TRAPS", "Planted", "SwitchingWithinARound", "Trap"]

# Planted neurons: enough for some to lie in the gap between the wrong bound and what happens.
_PLANTED = 120


class Trap(NamedTuple):
    """A case, the steps that both certificates take, and what makes the wrong one wrong."""

    case: Callable[[], Case]
    wrong: Callable[[Steps], Steps]
    steps: Steps = PROVED
    overstate: Callable[[Certificate], Certificate] = lambda proof: proof


def _kept(near: NearKinks, movements: list[ndarray], patterns: ndarray) -> ndarray:  # noqa: ARG001
    return patterns


# Patterns are never frozen anew; any choice is sound, and this one leaves everything to the switching pairs.
_FROZEN = dataclasses.replace(PROVED, frozen_patterns=_kept)


def _active_only(
    problem: Problem, reach: Reach, sample: int, uncertain: ndarray, patterns: ndarray, *, local: bool
) -> tuple[ndarray, ndarray]:
    return switching_shares(problem, reach, sample, uncertain & patterns, patterns, local=local)


def _server_only(model: RoundModel, start: ndarray, rounds: int) -> Predicted:
    predicted, still = predict(model, start, rounds), np.zeros_like(start)
    return predicted._replace(first_local=still, last_local=still, local_spread=predicted.spread)


def _together(problem: Problem, predicted: Predicted, sample: int) -> ndarray:
    return chord_ends(dataclasses.replace(problem, same_client=np.ones_like(problem.same_client)), predicted, sample)


def _no_changes(inner: ndarray, *rest: Any) -> ndarray:  # noqa: ARG001
    return np.full_like(inner, 1e-15)


def _without(**lemma: Callable[..., Any]) -> Callable[[Steps], Steps]:
    return partial(dataclasses.replace, **lemma)


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
TRAPS = {
    "samples that are inactive at the start push nothing": Trap(
        lambda: _pushed(1), _without(switching=_active_only), _FROZEN
    ),
    "clients take no local steps": Trap(lambda: _planted(split_case(1), 1), _without(prediction=_server_only)),
    "all clients' local steps act together and cancel": Trap(
        lambda: _planted(opposite_case(0), 0), _without(chord_ends=_together)
    ),
    "patterns never change": Trap(lambda: slow_case(8), _without(changes=_no_changes), _FROZEN),
    "the M-norm's rate holds in the 2-norm": Trap(lambda: plane_case(0), lambda steps: steps, overstate=_in_two_norm),
}


@dataclasses.dataclass(frozen=True)
class Planted:
    """The certificate of a planted case by the path method, held against its run; ``wrong``: with the step left out."""

    trap: str
    wrong: bool = False

    def compute(self) -> xr.Dataset:
        """The tally, as scalars; ``certified`` is 0 where the theorem does not apply."""
        trap, tally = TRAPS[self.trap], Tally()
        case = trap.case()
        proof = certify(case, "path", trap.wrong(trap.steps) if self.wrong else trap.steps)
        if proof is not None:
            tally.add(case, trap.overstate(proof) if self.wrong else proof)
        return tally.dataset()


@dataclasses.dataclass(frozen=True)
class SwitchingWithinARound:
    """What a sample adds if its pattern switches at every local step, beside the bound and beside |Σ of the round|."""

    draws: int = 200

    def compute(self) -> xr.Dataset:
        """The largest shares of either over random switchings, and the gain η max_c λ_max(Θ_cc)."""
        case = correlated_case(0, width=2000)
        problem = Problem.from_inputs(case.inputs, case.clients, case.config)
        predicted = predict(RoundModel(case.gram, problem), case.outputs - case.targets, 1)
        steps = case.step_size * np.stack(predicted.local_steps)[:, 0]
        patterns = np.random.default_rng(0).integers(0, 2, (self.draws, *steps.shape))
        sums = (patterns * steps).sum(axis=1)
        share = float(np.maximum(sums / predicted.local_up, -sums / predicted.local_down).max())
        gain = case.step_size * max(np.linalg.eigvalsh(case.gram[np.ix_(s, s)])[-1] for s in case.clients.indices)
        of_sum = float((np.abs(sums) / np.abs(steps.sum(axis=0))).max())
        return xr.Dataset({"share": share, "share_of_sum": of_sum, "gain": float(gain)})
