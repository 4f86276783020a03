"""Certify two layers: the passes over the neurons and the order of the methods."""

import math
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.arrays import real_array
from ntk_localsgd.certificate.model import Problem, RoundModel, Unsuitable
from ntk_localsgd.certificate.outcome import SHARES, Certificate, Conclusion, Method, Obstacle, no_proof
from ntk_localsgd.certificate.refusal import check_range, refusal
from ntk_localsgd.certificate.schedule import Schedule
from ntk_localsgd.certificate.two_layer.ball import certify_ball, least_radius
from ntk_localsgd.certificate.two_layer.dominance import certify_dominance, reach_of
from ntk_localsgd.certificate.two_layer.energy import NotFalling
from ntk_localsgd.certificate.two_layer.forecast import Forecast, forecast, path_seconds
from ntk_localsgd.certificate.two_layer.frozen import certify_frozen
from ntk_localsgd.certificate.two_layer.likely import certify_energy, energy_reach
from ntk_localsgd.certificate.two_layer.neurons import NearKinks, Neurons, Survey, near_kinks, survey
from ntk_localsgd.certificate.two_layer.path import certify_path, predicted_reach, refused_at_once
from ntk_localsgd.certificate.two_layer.steps import PROVED, Steps
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError, rounded_down
from ntk_localsgd.local_sgd.config import LocalSGD
from ntk_localsgd.networks.activations import RELU
from ntk_localsgd.networks.stack import Stack
from ntk_localsgd.rounding import UNIT
from ntk_localsgd.threads import threads_for

__all__ = ["Certifier", "first_layer"]

# How far beyond the predicted movement neurons are kept: the first that suffices. A retry costs one more pass.
_MARGINS = (1.5, 4.0, 16.0)

# A ball is looked for up to this many times the radius that frozen patterns need: one that needs more has lost three
# quarters of the contraction, and the path method does better.
_BALL_REACH = 4

# Wider networks are not tried by the ball method unless asked: its radius keeps several times as many neurons.
_WIDE = 2**18


class Certifier:
    """The passes over the neurons and the order of the methods."""

    def __init__(
        self,
        neurons: Neurons,
        dataset: Dataset,
        clients: Clients,
        config: LocalSGD,
        steps: Steps = PROVED,
        seconds: float = math.inf,
    ) -> None:
        if dataset.targets.ndim != 1:
            raise InputError(
                f"dataset has {dataset.targets.shape[1]} targets a row, but the certificate of two layers is for one "
                f"output."
            )
        self.neurons, self.dataset, self.steps = neurons, dataset, steps
        self.end = time.monotonic() + seconds
        self.inputs = np.asarray(dataset.inputs, np.float64)
        self.problem, self.schedule = Problem.from_inputs(self.inputs, clients, config), Schedule.of(clients, config)
        self.survey = survey(neurons, self.inputs, np.asarray(dataset.targets, np.float64))

    def run(self, method: Method, *, estimate: bool, delta: float) -> Certificate:
        """One argument after the other, as far as the method asks; fills in what concerns the reference network."""
        model = self._round_model(method)
        norm, width = self.survey.norm, self.survey.width
        if self.survey.least_norm > 0:
            check_range(norm)
            try:
                with threads_for(len(self.inputs), least=0):
                    end = self._conclude(method, model, estimate=estimate, delta=delta)
            except Unsuitable as error:
                end = no_proof(method, Obstacle.UNSUITABLE, str(error))
        else:
            end = no_proof(method, Obstacle.ARRIVED, "the residual is rounding noise: the run has arrived")
        # An output adds m terms of size about ½/√m, off by less than √m·u, once a step and once where it is measured;
        # n outputs, and room for a few steps whose errors have not yet been contracted away.
        floor = 8 * UNIT * float(np.sqrt(width)) * len(self.inputs)
        return Certificate.of(end, residual_norm=norm, width=width, rounding_floor=floor)

    def _round_model(self, method: Method) -> RoundModel | None:
        """The frozen round of a run in which nothing is drawn; None where something is."""
        if not self.schedule.plain:
            if method in ("ball", "path"):
                raise InputError(
                    f"method is {method!r}, which needs full batches, all clients, as many local steps each and a "
                    f"server step size of 1: needs to be 'dominance', 'frozen' or 'energy' here, or 'auto'."
                )
            return None
        gram = self.problem.inner * (self.survey.counts / self.survey.width)
        try:
            return RoundModel(gram, self.problem)
        except Unsuitable as error:
            if method in ("dominance", "frozen", "energy"):
                return None
            raise InputError(refusal(gram, self.problem, self.dataset, str(error))) from error

    def _conclude(self, method: Method, model: RoundModel | None, *, estimate: bool, delta: float) -> Conclusion:
        if method in ("auto", "dominance"):
            end = self._for_any_order(model, delta, estimate=estimate and method == "dominance")
            if end.certified or method == "dominance":
                return end
        if method in ("frozen", "energy") or model is None:
            return self._with_probability(method, delta, estimate=estimate)
        assert model is not None  # `_round_model`
        if model.contraction >= 1:
            text = (
                f"even with frozen patterns no round is shown to contract: at the Gram matrix's condition rounding "
                f"errors leave {model.contraction - 1:.2g} above a rate of 1"
            )
            return no_proof(method, Obstacle.UNSUITABLE, text, rate=model.contraction)
        if method == "ball" or (method == "auto" and self.survey.width <= _WIDE):
            least = least_radius(self.problem, self.survey, model)
            ball = self._ball(self._near(_BALL_REACH * least * np.sqrt(np.diagonal(self.problem.inner))), model)
            if ball.certified or method == "ball":
                return ball
        prove = partial(self._path, model)
        return self._with_neurons(predicted_reach(self.problem, self.survey, model), prove, estimate=estimate)

    def _path(self, model: RoundModel, survey: Survey, near: NearKinks) -> Conclusion:
        """Along the path, if that is not foreseen to take too long."""
        if (refusal := refused_at_once(self.problem, survey, near, model, self.steps)) is not None:
            return refusal
        left = self.end - time.monotonic()
        if left < math.inf and (needed := path_seconds(near)) > left:
            pairs = sum(len(rows) for rows in near.rows)
            text = f"{pairs} pairs come near their kinks, and following them would take about {needed:.1g} s"
            return no_proof("path", Obstacle.TIME, text)
        return certify_path(self.problem, survey, near, model, steps=self.steps)

    def forecast(self) -> Forecast | None:
        """What one radius would do; None where something is drawn.

        Raises
        ------
        InputError
            As `run`.
        """
        if (model := self._round_model("auto")) is None:
            return None
        targets = np.asarray(self.dataset.targets, np.float64)
        return forecast(self.neurons, self.problem, self.survey, model, self.inputs, targets)

    def _for_any_order(self, model: RoundModel | None, delta: float, *, estimate: bool) -> Conclusion:
        """Theorem C, dominance."""
        reach = reach_of(self.problem, self.schedule, self.survey)
        if reach is None:
            text = "samples push each other more than themselves even while no pattern changes: rows are too alike"
            return no_proof("dominance", Obstacle.PATTERNS, text)
        prove = partial(certify_dominance, self.problem, self.schedule, delta=delta, model=model)
        return self._with_neurons(reach, prove, estimate=estimate)

    def _with_probability(self, method: Method, delta: float, *, estimate: bool) -> Conclusion:
        """Theorem A, frozen patterns, then B, energy, as far as the method asks.

        Raises
        ------
        InputError
            For a step size that the theorem excludes whatever the width.
        """
        reach = energy_reach(self.problem, self.schedule, self.survey, delta)
        if isinstance(reach, NotFalling):
            if reach.allowed is not None:
                raise InputError(
                    f"step_size is {self.problem.step_size:.6g}, but the theorem asks for less than 2/λ_max of every "
                    f"batch: below {rounded_down(reach.allowed)}."
                )
            return no_proof("energy", Obstacle.PATTERNS, reach.text)
        end = no_proof(method, Obstacle.PATTERNS, "")
        arguments = {"frozen": [certify_frozen], "energy": [certify_energy]}
        for argument in arguments.get(method, [certify_frozen, certify_energy]):
            prove = partial(argument, self.problem, self.schedule, delta=delta)
            last = argument is certify_energy or method == "frozen"
            end = self._with_neurons(reach, prove, estimate=estimate and last)
            if end.certified:
                break
        return end

    def _with_neurons(
        self, reach: Float[ndarray, " n"], prove: Callable[[Survey, NearKinks], Conclusion], *, estimate: bool
    ) -> Conclusion:
        """With as many neurons as the argument needs; ``reach``: how far they may go while no pattern changes."""
        for margin in _MARGINS:
            near = self._near(margin * reach)
            end = prove(self.survey, near)
            if end.obstacle is not Obstacle.BEYOND_KEPT:
                break
        else:
            text = f"neurons may move {_MARGINS[-1]:g} times as far as they would if no pattern changed"
            end = end._replace(explanation=text)
        if end.certified or not estimate:
            return end
        return end._replace(residual_share=self._largest_share(lambda smaller: prove(smaller, near).certified))

    def _near(self, threshold: Float[ndarray, " n"]) -> NearKinks:
        return near_kinks(self.neurons, self.inputs, threshold)

    def _ball(self, near: NearKinks, model: RoundModel) -> Conclusion:
        """The better of both norms."""
        results = [certify_ball(self.problem, self.survey, near, model)]
        results.append(
            certify_ball(self.problem, self.survey, near, RoundModel(model.gram, self.problem, euclidean=True))
        )
        return min(results, key=lambda result: (not result.certified, result.rate, -result.residual_share))

    def _largest_share(self, certified: Callable[[Survey], bool]) -> float:
        """The largest power of ¼ of the residual with which these weights would be certified; 0 if none was."""
        for share in SHARES:
            smaller = self.survey._replace(
                residual=self.survey.residual * share, residual_error=self.survey.residual_error * share
            )
            if certified(smaller):
                return share
        return 0.0


def first_layer(stack: Stack) -> tuple[ndarray, Float[ndarray, " m"]] | None:
    """W and a of f = m^{-1/2} Σ_r a_r σ(w_r·x), σ the ReLU and a_r = ±1; None for a stack that is not of this form."""
    if len(stack.hidden_weights) != 1 or stack.output_weights.ndim != 1:
        return None
    signs = real_array("net's signs", stack.output_weights, ndim=1)  # a traced network is refused here
    plain = stack.input_weights is None and stack.divided and not stack.residual and stack.activation == RELU
    return (np.asarray(stack.hidden_weights[0]), signs) if plain and (np.abs(signs) == 1).all() else None
