"""Widths that a theorem asks for, a certificate needs and a run gets by with: C8-widths."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from functools import partial

import jax
import numpy as np
import xarray as xr

from ntk_localsgd import certificate, clients, datasets, kernels, local_sgd
from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.evidence import Condition, Control, Evidence
from ntk_localsgd.networks import TwoLayerReLU
from ntk_localsgd.statistics import Interval, slope
from verification.claims import claim
from verification.context import Context
from verification.runs import largest_step
from verification.sampling import DELTA

__all__ = ["stored_widths"]

# Step sizes are this share of the largest that the certificate allows.
_CLIENTS, _STEPS, _SHARE_OF_STEP = 4, 5, 0.9

# A run converges if its loss falls to this share of its start within these rounds.
_SHARE, _ROUNDS = 1e-6, 400


@claim(
    "C8-widths",
    "the width at which Local GD is certified from initialization lies between what runs need and what theorems ask",
    letter="D",
    source="docs/theory.md §5.4",
)
def widths(context: Context) -> Iterator[Evidence]:
    """Smallest powers of √2 at which seeds are certified, or converge; the control has targets 30 times larger."""
    found = stored_widths(context)
    asked = found.asked.values
    for n, bound in zip(found.n.values, asked, strict=True):
        data, split, keys = _setting(context, int(n))
        measured, needed = (int(found[name].sel(n=n).max()) for name in ("measured", "certified"))
        large = dataclasses.replace(data, targets=30 * data.targets)
        spoiled = sum(_certified(key, large, split, needed) for key in keys)
        yield Evidence(
            "C8-widths", f"sphere, n = {n}, d = {4 * n}, {split.num_clients} clients, {_STEPS} local steps",
            Condition(f"all of {len(keys)} seeds certified at m = {needed}", True),
            Condition(f"measured threshold {measured} ≤ {needed} ≤ {bound:.2g}, which C1 asks for at δ = {DELTA}",
                      bool(measured <= needed <= bound)),
            float(needed), float(bound),
            Control("targets 30 times as large at the same width: seeds still certified", spoiled == 0, float(spoiled)),
            trials=len(keys),
        )  # fmt: skip
    if len(found.n) > 2:
        yield _exponents(found)


def _exponents(found: xr.Dataset) -> Evidence:
    """Theorem, certificate, measurement: how their widths grow in n; in the control C1's own widths are judged."""
    # From n = 4 on: with fewer samples C1 does not speak, and its number is that of n = 4.
    wide = found.sel(n=slice(4, None))
    measured, certified, asked = (
        slope(wide.n.values, np.broadcast_to(wide[name].transpose(..., "n"), (wide.sizes["seed"], wide.sizes["n"])))
        for name in ("measured", "certified", "asked")
    )
    powers = "; ".join(
        f"{name}: n to the {power.estimate:.2f} ± {power.half_width:.2f}"
        for name, power in (("theorem C1", asked), ("certificate", certified), ("measured", measured))
    )
    return Evidence(
        "C8-widths", f"sphere in 4n dimensions, over n = {wide.n.values[0]} … {wide.n.values[-1]}",
        Condition("only the data set changes", True),
        Condition(f"the certificate's width grows by a smaller power of n than C1's. {powers}",
                  _smaller(certified, asked)),
        certified.estimate, asked.estimate,
        Control("C1's widths in the certificate's place", _smaller(asked, asked) is False, asked.estimate),
        interval=(certified.lower, certified.upper), trials=wide.sizes["seed"],
    )  # fmt: skip


def _smaller(found: Interval, other: Interval) -> bool | None:
    """Whether an exponent lies below another; None if the interval reaches it."""
    if found.upper < other.estimate:
        return True
    return False if found.lower >= other.estimate else None


def stored_widths(context: Context) -> xr.Dataset:
    """Widths at which runs converge and are certified [n seed], and that C1 asks for [n]; measured unless stored.

    C1 is about gradient descent; with n ≤ 3 it does not speak, and its width is what it would ask for at n = 4.
    """

    def made() -> xr.Dataset:
        sizes, _ = _sizes(context)
        measured, certified, asked = [], [], []
        for n in sizes:
            data, split, keys = _setting(context, n)
            measured.append([_smallest(partial(_converges, key, data, split), 2) for key in keys])
            certified.append(
                [_smallest(partial(_certified, key, data, split), start)
                 for key, start in zip(keys, measured[-1], strict=True)]
            )  # fmt: skip
            lambda0 = kernels.smallest_eigenvalue(kernels.infinite_gram(data.inputs)).lower
            asked.append(BOUNDS["C1"].smallest_width(n=max(n, 4), lambda0=lambda0, C=1.0, delta=DELTA))
        return xr.Dataset(
            {
                "measured": (("n", "seed"), np.array(measured)),
                "certified": (("n", "seed"), np.array(certified)),
                "asked": (("n",), np.array(asked, np.float64)),
            },
            {"n": np.array(sizes)},
        )

    return context.stored(__file__, "certified widths", made)


def _sizes(context: Context) -> tuple[tuple[int, ...], int]:
    """Numbers of samples, and of seeds."""
    return {"smoke": ((4,), 2), "quick": ((2, 4), 2)}.get(context.preset.name, ((2, 4, 8, 16, 32), 4))


def _setting(context: Context, n: int) -> tuple[Dataset, Clients, list[jax.Array]]:
    """Data, clients, and the key of every seed's network."""
    data = datasets.sphere(jax.random.key(context.seed), n, 4 * n)
    split = clients.iid(jax.random.key(context.seed + 1), data, min(_CLIENTS, n))
    return data, split, [jax.random.fold_in(context.key(f"C8-widths {n}"), s) for s in range(_sizes(context)[1])]


def _smallest(holds: Callable[[int], bool], start: int) -> int:
    """Smallest ⌈2^{k/2}⌉ ≥ ``start`` at which it holds: up by factors of 2, then one step of √2 back."""
    k = math.ceil(2 * math.log2(start))
    at = lambda power: math.ceil(2 ** (power / 2))  # noqa: E731
    while not holds(at(k)):
        k += 2
    return at(k - 1) if at(k - 1) >= start and holds(at(k - 1)) else at(k)


def _network(key: jax.Array, data: Dataset, width: int) -> TwoLayerReLU:
    return TwoLayerReLU.init(key, width=width, input_dim=data.input_dim, dtype=np.float64)


def _converges(key: jax.Array, data: Dataset, split: Clients, width: int) -> bool:
    net = _network(key, data, width)
    step = _SHARE_OF_STEP * largest_step(net, data, split)
    if not math.isfinite(step):
        return False
    losses = local_sgd.run(net, data, split, local_sgd.LocalSGD(step, _STEPS, _ROUNDS)).trajectory.loss.values
    return bool(losses[-1] <= _SHARE * losses[0])


def _certified(key: jax.Array, data: Dataset, split: Clients, width: int) -> bool:
    net = _network(key, data, width)
    try:
        step = _SHARE_OF_STEP * largest_step(net, data, split)
        config = local_sgd.LocalSGD(step, _STEPS, _ROUNDS)
        return certificate.certify(net, data, split, config, method="path", estimate=False).certified
    except InputError:
        return False
