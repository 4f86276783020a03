"""Entropies of layers, accuracies and profiles of trained networks with leaky ReLU: E2, E3, E4."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import scipy.stats
import xarray as xr

from ntk_localsgd.evidence import Condition, Evidence
from ntk_localsgd.statistics import LEVEL, Interval, mean_interval
from verification.claims.entropy.paper import KULATHUNGA
from verification.context import Context
from verification.engine import Results
from verification.jobs.leaky_training import BIN, LeakyTraining
from verification.judging import at_least
from verification.presets import Shape
from verification.registry import claim

__all__ = ["SLOPES", "trainings"]

#: α from ReLU to linear.
SLOPES = (0.0, 0.1, 0.3, 1.0)

# The slopes that leaky ReLU has in E3.
_LEAKY = (0.1, 0.3)

# "Fairly represents" is read so.
_FAIR = 0.5


def trainings(context: Context, shape: Shape) -> list[LeakyTraining]:
    """Networks of one shape, one job a slope, from the same seeds."""
    sizes = context.preset.entropy
    seeds = context.seeds("E2", sizes.seeds)
    settings = (sizes.images, sizes.images, sizes.epochs, seeds, context.seed, shape.step)
    return [LeakyTraining(shape.width, shape.depth, slope, *settings, profile_every=sizes.every) for slope in SLOPES]


def _needs(context: Context) -> Iterator[LeakyTraining]:
    for shape in context.preset.entropy.shapes:
        yield from trainings(context, shape)


def _nothing_to_fit(job: LeakyTraining) -> LeakyTraining:
    """E4's control: targets of 0, which the network approaches by falling silent."""
    return dataclasses.replace(job, target_scale=0.0)


def _profile_needs(context: Context) -> Iterator[LeakyTraining]:
    for shape in context.preset.entropy.shapes:
        if shape.depth == 1:
            for job in trainings(context, shape)[:-1]:
                yield from (job, _nothing_to_fit(job))


def _setting(job: LeakyTraining) -> dict[str, object]:
    return {"data": "digits", "n": job.samples, "m": job.width, "L": job.depth, "seeds": len(job.seeds)}


def _lost(job: LeakyTraining, found: xr.Dataset) -> np.ndarray:
    """−P(z < 0) log α [seed, round, layer]; of ReLU infinite."""
    return found.below.values * (-np.log(job.slope) if job.slope else np.inf)


def _rank_correlation(entropies: np.ndarray, lost: np.ndarray) -> Interval:
    """Spearman's of [slope, seed, layer] over slopes, sign turned: mean over layers, then seeds with a bootstrap."""
    seeds, layers = entropies.shape[1:]
    own = [
        np.mean([-scipy.stats.spearmanr(entropies[:, s, k], lost[:, s, k]).statistic for k in range(layers)])
        for s in range(seeds)
    ]
    if np.ptp(own) == 0:  # no resampling moves it
        return Interval(float(own[0]), float(own[0]), float(own[0]), tuple(own))
    ends = scipy.stats.bootstrap(
        (own,), np.mean, confidence_level=LEVEL, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return Interval(float(np.mean(own)), float(ends.low), float(ends.high), tuple(own))


@claim(
    "E2",
    "the Shannon entropy of hidden layer outputs represents the information lost as a function of α",
    letter="S",
    source="Kulathunga et al. 2021, abstract; read as docs/theory.md, E2",
    paper=KULATHUNGA,
    needs=_needs,
)
def entropy_and_loss(context: Context, results: Results) -> Iterator[Evidence]:
    """Rank correlation over α of layers' entropies with what E1 says is lost, before and after training."""
    for shape in context.preset.entropy.shapes:
        jobs = trainings(context, shape)
        for place, when in ((0, "before training"), (-1, "after training")):
            entropies = np.stack([results[job].entropy.values[:, place] for job in jobs])
            lost = np.stack([_lost(job, results[job])[:, place] for job in jobs])
            own = _rank_correlation(entropies, lost)
            narrowing = np.stack([results[job].narrowing_entropy.values[:, place] for job in jobs])
            means = ", ".join(f"{value:.2f}" for value in entropies.mean(axis=(1, 2)))
            yield at_least(
                _setting(jobs[0]) | {"case": when, "over": f"α = {', '.join(f'{s:g}' for s in SLOPES)}"},
                Condition(
                    "one bin width for all α, a tenth of the smallest α > 0 times m^−½",
                    bool(min(SLOPES[1:]) >= BIN * 10),
                ),
                f"rank correlation of entropy with P(z < 0) log α ≥ {_FAIR:g}; mean entropies {means} nats",
                own,
                _FAIR,
                control=_rank_correlation(narrowing, lost),
                control_setting="bins that narrow with α: they see ever more of the side that nothing is lost on",
            )


def _accuracies(context: Context, results: Results, shape: Shape) -> dict[float, xr.DataArray]:
    """Test accuracy [seed, round] by slope."""
    return {job.slope: results[job].test for job in trainings(context, shape)}


@claim(
    "E3",
    "trained weights ≥ n·o ⇒ accuracy of ReLU ≥ accuracy of leaky ReLU",
    letter="S",
    source="Kulathunga et al. 2021, abstract; read as docs/theory.md, E3",
    paper=KULATHUNGA,
    needs=_needs,
)
def relu_with_parameters(context: Context, results: Results) -> Iterator[Evidence]:
    """Differences on the same seeds for every shape; the control's ReLU is not trained."""
    for shape in context.preset.entropy.shapes:
        job, accuracies = trainings(context, shape)[0], _accuracies(context, results, shape)
        needed = job.samples * 10
        for slope in _LEAKY:
            leaky = accuracies[slope].values[:, -1]
            own, untrained = (mean_interval(accuracies[0.0].values[:, k] - leaky) for k in (-1, 0))
            yield at_least(
                _setting(job) | {"α": slope},
                Condition(f"trained weights {job.parameters} ≥ n·o = {needed}", job.parameters >= needed),
                f"mean difference of test accuracies, ReLU less leaky ReLU, ≥ 0; ReLU {_mean(accuracies[0.0]):.3f}, "
                f"leaky {leaky.mean():.3f}, linear {_mean(accuracies[1.0]):.3f}",
                own,
                0.0,
                control=untrained,
                control_setting="ReLU before training",
            )


def _mean(accuracies: xr.DataArray) -> float:
    return float(accuracies.values[:, -1].mean())


@claim(
    "E3-parameters",
    "what ReLU loses against leaky ReLU shrinks as parameters are added",
    letter="S",
    source="Kulathunga et al. 2021, abstract; read as docs/theory.md, E3",
    paper=KULATHUNGA,
    needs=_needs,
)
def relu_over_parameters(context: Context, results: Results) -> Iterator[Evidence]:
    """Differences of accuracies, largest shape less smallest; the control's large ReLU network is not trained."""
    shapes = sorted(context.preset.entropy.shapes, key=lambda shape: shape.depth * shape.width**2)
    small, large = (trainings(context, shape)[0] for shape in (shapes[0], shapes[-1]))
    for slope in _LEAKY:
        narrow, wide = (_accuracies(context, results, shape) for shape in (shapes[0], shapes[-1]))
        few, many = ((found[0.0] - found[slope]).values[:, -1] for found in (narrow, wide))
        untrained = wide[0.0].values[:, 0] - wide[slope].values[:, -1]
        yield at_least(
            {"data": "digits", "n": small.samples, "α": slope, "seeds": len(small.seeds)},
            Condition(
                f"{large.parameters} trained weights against {small.parameters}", large.parameters > small.parameters
            ),
            f"difference of accuracies, ReLU less leaky ReLU, with many weights ({many.mean():.3f}) less that with few "
            f"({few.mean():.3f}) ≥ 0",
            mean_interval(many - few),
            0.0,
            control=mean_interval(untrained - few),
            control_setting="ReLU with many weights before training",
        )


@claim(
    "E4",
    "along the training of shallow networks, the entropy of the hidden layer follows the loss",
    letter="S",
    source="Kulathunga et al. 2021, abstract; read as docs/theory.md, E4",
    paper=KULATHUNGA,
    needs=_profile_needs,
)
def profiles(context: Context, results: Results) -> Iterator[Evidence]:
    """Rank correlation over rounds, from the first profile on, of the trained layer's entropy with the falling loss."""
    for shape in context.preset.entropy.shapes:
        if shape.depth > 1:
            continue
        for job in trainings(context, shape)[:-1]:
            found = results[job]
            change = found.entropy.values[:, -1, -1] - found.entropy.values[:, 0, -1]
            yield at_least(
                _setting(job) | {"α": job.slope, "over": f"rounds {int(found['round'][1])} … {job.epochs}"},
                Condition("one trained layer", job.depth == 1),
                f"rank correlation over rounds of the entropy with the fall of the loss ≥ {_FAIR:g} (that it rises was "
                f"chosen after it was seen), mean over seeds; in all the entropy changes by {change.mean():.2f} nats",
                _following(found),
                _FAIR,
                control=_following(results[_nothing_to_fit(job)]),
                control_setting="targets 0: the loss falls as outputs do",
            )


def _following(found: xr.Dataset) -> Interval:
    """Rank correlation of the last layer's entropy with the fall of the loss, mean over seeds."""
    entropies, losses = found.entropy.values[:, 1:, -1], found.loss.values[:, 1:]
    own = [scipy.stats.spearmanr(e, -loss).statistic for e, loss in zip(entropies, losses, strict=True)]
    return mean_interval(np.array(own, float))
