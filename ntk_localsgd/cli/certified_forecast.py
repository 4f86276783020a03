"""What ``certify`` foresees in seconds: whether there can be a proof, and in the user's terms what would do."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from rich.console import Console

from ntk_localsgd import certificate, prediction
from ntk_localsgd.certificate import Certificate, Forecast, Obstacle
from ntk_localsgd.certificate.two_layer.forecast import rows_to_merge
from ntk_localsgd.cli.inputs import ProblemOptions
from ntk_localsgd.cli.start import Start
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.config import LocalSGD

__all__ = ["Enough", "advice", "foreseen", "on_columns", "rounded_up", "rounds_to", "smaller_scales", "unscaled"]

Options = TypeVar("Options", bound=ProblemOptions)

# Factors of the scale, squares of those of the width, beyond which no width is named.
_WIDEST = 300.0

# Numbers of rows that are merged on trial, and the factor by which that is to lower the scale to be worth a word.
_MERGED, _WORTH = (1, 2, 4, 8, 16, 32), 10.0

# Share of the residual below which float64 leaves a certificate too few digits, and as many rounds as anybody trains.
_FLOOR, _MOST_ROUNDS = 1e-9, 2**30


def foreseen(start: Start, scale: float | None, config: LocalSGD) -> Forecast | None:
    """Print what decides whether there can be a proof; None where nothing is foreseen."""
    smallest, largest = start.gram.smallest.lower, float(np.linalg.norm(start.gram.matrix, 2))
    said = (
        f"λ_min(Θ) ≥ {start.factor * smallest:.4g}, condition {largest / smallest:.4g}, residual norm "
        f"{math.sqrt(start.factor) * float(np.linalg.norm(start.residual)):.4g}, m = {start.net.width}"
    )
    found = _forecast(start, unscaled(start, scale), start.clients, config)
    if found is not None:
        said += (
            f"; the ball method proves lazy scales κ ≥ {rounded_up(found.scale):.2g}"
            if found.scale < math.inf
            else "; the ball method proves no lazy scale that float64 can tell"
        )
    Console().print(said, highlight=False)
    return found


class Enough(NamedTuple):
    """A lazy scale with a proof, the method that proves it, and what is known of smaller ones."""

    scale: float | None = None
    method: str = ""
    below: str = ""

    def __str__(self) -> str:
        return f"{self.scale:.4g}, by the {self.method} method" + (f"; {self.below}" if self.below else "")


def smaller_scales(
    enough: Enough, highest: float, lowest: float, prove: Callable[[float], Certificate]
) -> Iterator[Enough]:
    """Powers of ten from ``highest`` down to above ``lowest``, below what is ``enough``, until the path ends."""
    for power in range(math.floor(math.log10(highest)), 0, -1):
        scale = 10.0**power
        if scale <= lowest:
            return
        if enough.scale is not None and scale >= enough.scale:
            continue
        proof = prove(scale)
        if not proof.certified:
            late = proof.obstacle is Obstacle.TIME
            yield enough._replace(below=f"{scale:.4g} {'would take too long' if late else 'is not proved'}")
            return
        enough = Enough(scale, "path")
        yield enough


def advice(
    start: Start, scale: float | None, found: Forecast | None, config: LocalSGD, enough: float | None = None
) -> Iterator[tuple[str, str]]:
    """Rows of the summary: a width at which the ball method proves it, and near rows without which a smaller κ does.

    It is to be smaller than ``enough`` too, a scale that would do: the path proves far smaller ones than one ball.
    """
    if found is None:
        return
    now, least = scale or 1.0, found.scale if enough is None else min(found.scale, enough)
    if now < found.scale < now * _WIDEST:
        # R_need falls like 1/√m, and what a radius does to Θ hardly depends on m.
        yield "or a width of about (ball method)", f"{start.net.width * (found.scale / now) ** 2:.1g}"
    data, most = unscaled(start, scale), start.dataset.num_samples // 4
    for number in (k for k in _MERGED if k <= most):
        gone = rows_to_merge(data.inputs, number)
        kept = np.setdiff1d(np.arange(data.num_samples), gone)
        place = np.full(data.num_samples, -1)
        place[kept] = np.arange(len(kept))
        parts = [place[part][place[part] >= 0] for part in start.clients.indices]
        if not all(len(part) for part in parts):
            return
        fewer = _forecast(start, data.rows(kept), Clients(tuple(parts)), config)
        if fewer is not None and fewer.scale * _WORTH < least and fewer.scale < math.inf:
            named = ", ".join(str(data.number_of(row)) for row in sorted(gone))
            yield f"or κ without near rows {named}", f"{rounded_up(fewer.scale):.2g}"
            return


def on_columns(
    options: Options, begin: Callable[[Options], tuple[Start, LocalSGD]], least: float
) -> Iterator[tuple[str, str]]:
    """A row of the summary: the κ that standardised columns would need, if that is far below ``least``."""
    if options.standardise or options.weights is not None:
        return
    try:
        start, config = begin(dataclasses.replace(options, standardise=True))
    except InputError:  # a row has become zero, or two have become one
        return
    found = _forecast(start, unscaled(start, options.scale), start.clients, config)
    if found is not None and found.scale * _WORTH < least:
        yield "or κ with --standardise (ball method)", f"{rounded_up(found.scale):.2g}"


def rounds_to(start: Start, config: LocalSGD, enough: Float[ndarray, " n"]) -> int | None:
    """Rounds until the residual weighs no more than ``enough``, by ‖Θ⁻¹r‖₁, as Θ at the start predicts it.

    ``enough`` is a residual with which the network is proved to converge *from its start*; one that was trained has
    neurons near their kinks besides. A proof was found after 0.1 to 5 times as many rounds, and none in some narrow
    networks (``docs/theory.md`` §5.5). None where they are too many, and where it weighs no more already.
    """
    operator = prediction.round_operator(start.gram.matrix, start.clients, config)
    weigh = np.linalg.inv(start.gram.matrix)
    share = float(np.abs(weigh @ enough).sum() / np.abs(weigh @ start.residual).sum())
    return _first_below(operator, weigh, start.residual, share) if _FLOOR < share < 1 else None


def _first_below(
    operator: Float[ndarray, "n n"], weigh: Float[ndarray, "n n"], residual: Float[ndarray, " n"], share: float
) -> int | None:
    """Smallest t ≥ 1 with ‖A B^t r‖₁ ≤ share·‖A r‖₁ if that falls with t, from powers of two."""

    def size(each: Float[ndarray, " n"]) -> float:
        return float(np.abs(weigh @ each).sum())

    goal, powers = share * size(residual), [operator]
    while not size(powers[-1] @ residual) <= goal:
        if 2 ** len(powers) > _MOST_ROUNDS:
            return None
        powers.append(powers[-1] @ powers[-1])
    number = 0
    for power in reversed(powers):
        number *= 2
        ahead = power @ residual
        if size(ahead) > goal:
            residual, number = ahead, number + 1
    return number + 1


def unscaled(start: Start, scale: float | None) -> Dataset:
    """The data with targets y of f: with a lazy scale, g(W(0)) − its targets is −y/κ."""
    return start.dataset if scale is None else dataclasses.replace(start.dataset, targets=-scale * start.residual)


def rounded_up(value: float) -> float:
    """To two digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.1e}")


def _forecast(start: Start, data: Dataset, split: Clients, config: LocalSGD) -> Forecast | None:
    if not np.any(data.targets):
        return None
    try:
        return certificate.forecast(start.net, data, split, config)
    except InputError:
        return None
