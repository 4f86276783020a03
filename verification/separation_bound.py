"""How small λ0 can be on separated inputs: K3."""

from collections.abc import Iterator

import numpy as np

from ntk_localsgd import datasets, kernels
from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Control, Evidence
from ntk_localsgd.separation import closest_pair
from verification.claims import claim
from verification.context import Context, with_close_pair

# Distances of a planted pair, beside the data as they are.
_DISTANCES = (0.3, 0.1, 0.03, 0.01, 0.001)


@claim(
    "K3",
    "λ0 ≥ φ± / (100 n²), φ± = min_{i≠j} min(‖x_i − x_j‖, ‖x_i + x_j‖)",
    letter="R",
    source=BOUNDS["K3"].source,
)
def separation(context: Context) -> Iterator[Evidence]:
    """Certified λ0 over the bound, down to nearly parallel pairs; in the control separation counts distances alone."""
    for made in context.problems(context.preset.sweep_samples):
        data = [made.inputs, *(with_close_pair(made.inputs, distance) for distance in _DISTANCES)]
        ratios = [_lambda0(x) / _bound(x, _two_sided(x)) for x in data]
        worst = int(np.argmin(ratios))
        # Antipodal pairs in one plane make H^∞ singular (K2-sharp), and no two of these points are close.
        angles = np.pi * np.array([0.1, 0.4, 0.8])
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        pairs = datasets.from_arrays(np.concatenate([circle, -circle]), np.zeros(6)).inputs
        broken = _lambda0(pairs) / _bound(pairs, closest_pair(pairs, 1.0).distance)
        yield Evidence(
            "K3", f"{made}, as it is and with a pair at {_DISTANCES[0]:g} … {_DISTANCES[-1]:g}",
            Condition("no two inputs are parallel", bool(min(map(_two_sided, data)) > 0)),
            Condition(
                f"certified lower bound of λ0 ≥ φ±/(100 n²); closest at φ± = {_two_sided(data[worst]):.2g}",
                min(ratios) >= 1,
            ),
            _lambda0(data[worst]), _bound(data[worst], _two_sided(data[worst])),
            Control("three antipodal pairs in a plane, ‖x_i + x_j‖ left out of the separation: λ0 over the bound",
                    broken < 1, broken),
        )  # fmt: skip


def _lambda0(inputs: np.ndarray) -> float:
    """Certified lower bound of λ0."""
    error = kernels.infinite_gram_error(*inputs.shape)
    return kernels.smallest_eigenvalue(kernels.infinite_gram(inputs), error=error).lower


def _two_sided(inputs: np.ndarray) -> float:
    return min(closest_pair(inputs, sign).distance for sign in (1.0, -1.0))


def _bound(inputs: np.ndarray, phi: float) -> float:
    return BOUNDS["K3"].evaluate(n=len(inputs), phi=phi)
