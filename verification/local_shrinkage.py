"""A client's residual shrinks within a round: S2."""

from collections.abc import Iterator

import numpy as np

from ntk_localsgd import kernels
from ntk_localsgd.evidence import Condition, Control, Evidence
from verification.claims import claim
from verification.context import Context, Problem
from verification.sampling import initial_networks

_CLIENTS, _STEPS, _WIDTH, _NETWORKS = 2, 10, 8192, 5


@claim(
    "S2",
    "η ≤ 1/λ_max(Θ_cc), local iterates 0 … k in the ball of radius R ⇒ ‖r_c^k‖ ≤ (1 − η(λ_c − ε_cc))^k ‖r_c^0‖, "
    "ε_cc = ‖E_cc(R)‖₂",
    letter="D",
    source="docs/theory.md §2; FL-NTK [R]",
)
def local_shrinkage(context: Context) -> Iterator[Evidence]:
    """Every client and local step of several networks; the control measures the shrinkage by λ_max."""
    for made in context.problems(context.preset.kernel_samples):
        worst, control, met, trials = 0.0, 0.0, True, 0
        for net in initial_networks(context, "S2", made, _WIDTH, _NETWORKS):
            weights, signs = np.asarray(net.weights, np.float64), np.asarray(net.signs, np.float64)
            for part in made.split(_CLIENTS).indices:
                ratios, too_fast, applies = _client(made, weights, signs, part)
                worst, control = max(worst, ratios), max(control, too_fast)
                met, trials = met and applies, trials + 1
        yield Evidence(
            "S2", f"{made}, {_CLIENTS} clients, {_STEPS} local steps, m = {_WIDTH}",
            Condition("η ≤ 1/λ_max(Θ_cc); R is the movement seen", met),
            Condition("‖r_c^k‖ / bound ≤ 1 at every step of every client", worst <= 1 + 1e-12), worst, 1.0,
            Control("λ_max in place of λ_c", control > 1, control), trials=trials,
        )  # fmt: skip


def _client(made: Problem, weights: np.ndarray, signs: np.ndarray, part: np.ndarray) -> tuple[float, float, bool]:
    """Largest ‖r^k‖/bound of one client's local steps, the control's, and whether the premise holds."""
    x, y, scale = made.inputs[part], made.dataset.targets[part], signs / np.sqrt(len(signs))
    start = weights @ x.T
    active = (start >= 0).astype(float)
    inner = x @ x.T
    gram = inner * (active.T @ active) / len(signs)
    largest = float(np.linalg.eigvalsh(gram)[-1])
    eta, local, norms, radius = 0.9 / largest, weights, [], 0.0
    for _ in range(_STEPS + 1):
        z = local @ x.T
        residual = np.maximum(z, 0).T @ scale - y
        norms.append(float(np.linalg.norm(residual)))
        radius = max(radius, float(np.linalg.norm(local - weights, axis=1).max()))
        local = local - eta * scale[:, None] * (((z >= 0) * residual) @ x)
    near = np.abs(start) <= radius
    # A_i ∪ A_j: at least one of the two may have switched.
    union = len(signs) - (~near).T.astype(float) @ (~near).astype(float)
    error = float(np.linalg.norm(np.abs(inner) * union / len(signs), 2))
    smallest = kernels.smallest_eigenvalue((gram + gram.T) / 2).lower
    steps = np.arange(1, _STEPS + 1)
    ratio = np.array(norms)[1:] / norms[0]
    bound, wrong = ((1 - eta * (value - error)) ** steps for value in (smallest, largest))
    return float((ratio / bound).max()), float((ratio / np.abs(wrong)).max()), eta * largest <= 1
