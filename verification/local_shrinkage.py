"""A client's residual shrinks within a round: S2."""

from collections.abc import Iterator

import numpy as np

from ntk_localsgd import kernels
from ntk_localsgd.clients import Clients
from ntk_localsgd.evidence import Condition, Control, Evidence
from verification.claims import claim
from verification.context import Context, Problem
from verification.kernel_stability import union_counts
from verification.reference_run import Case, follow
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
    everything = Clients((np.arange(len(part)),))
    case = Case(made.inputs[part], made.dataset.targets[part], everything, weights, signs, 0.0, 1)
    gram = case.gram
    largest = float(np.linalg.eigvalsh(gram)[-1])
    eta = 0.9 / largest
    # One client that averages with itself after every step: rounds are its local steps.
    seen = follow(case._replace(step_size=eta), _STEPS)
    near = np.abs(weights @ case.inputs.T) <= seen.movement
    union = union_counts(near.T)
    error = float(np.linalg.norm(np.abs(case.inputs @ case.inputs.T) * union / len(signs), 2))
    smallest = kernels.smallest_eigenvalue((gram + gram.T) / 2).lower
    steps = np.arange(1, _STEPS + 1)
    ratio = seen.residual_norms[1:] / seen.residual_norms[0]
    bound, wrong = ((1 - eta * (value - error)) ** steps for value in (smallest, largest))
    return float((ratio / bound).max()), float((ratio / np.abs(wrong)).max()), eta * largest <= 1
