"""The kernel at initialization with many samples, where the Gram matrix is the work: K4a-many, K4b-many."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntk_localsgd import kernels
from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Evidence
from verification.claims import claim
from verification.context import Context, Problem, problem
from verification.sampling import DELTA, gram_at, initial_networks, smallest_lower, with_probability

_SAMPLES = {"smoke": 40, "quick": 400, "full": 2000, "gpu": 10_000}

# All there are: scikit-learn's digits.
_DIGITS = 1797

# In ℝ²⁵⁶, many points still have an H^∞ far from singular, and K4b asks for a width that fits.
_SPHERE = "sphere 256"

_WIDTH = 4096

# Every network's smallest eigenvalue takes factorisations of an n × n matrix. Seven networks, none of which fails,
# decide a failure probability of one half: their interval's upper end is 0.41.
_NETWORKS, _HALF = 7, 0.5

# How many times fewer neurons the control has. K4b becomes more cautious with n: at n = 10,000 a 256th still does.
_FEWER = 2048


@claim(
    "K4a-many",
    "many samples, with probability ≥ 1 − δ: max_ij |H_ij(0) − H^∞_ij| ≤ √(log(2n²/δ) / 2m)",
    letter="P",
    source=BOUNDS["K4a"].source,
)
def concentration_entries(context: Context) -> Iterator[Evidence]:
    """K4a where the union bound runs over millions of entries, all compared on the device, in float64."""
    samples = _SAMPLES[context.preset.name]
    for kind, count in (("digits10", min(samples, _DIGITS)), (_SPHERE, samples)):
        made = problem(kind, count, context.seed)
        bound = BOUNDS["K4a"].evaluate(n=count, m=_WIDTH, delta=DELTA)
        gaps, control = _entry_gaps(context, made), _entry_gaps(context, made, copies=64)
        yield with_probability(
            "K4a-many", f"{made}, d = {made.dataset.input_dim}, m = {_WIDTH}", Condition("independent neurons", True),
            f"max_ij |H_ij(0) − H^∞_ij| ≤ {bound:.4g}", gaps, bound,
            control=control, control_setting="every neuron occurs 64 times",
        )  # fmt: skip


def _entry_gaps(context: Context, made: Problem, *, copies: int = 1) -> np.ndarray:
    """max_ij |H_ij(0) − H^∞_ij| for each seed; a network of repeated neurons has the Gram matrix of one copy."""
    width, inner, limit = _WIDTH // copies, jnp.asarray(made.inner), jnp.asarray(made.gram)
    nets = initial_networks(context, "K4a-many", made, width, context.preset.trials)
    return np.array(
        [float(_largest_gap(kernels.pattern_counts(net, made.inputs), inner, limit, width)) for net in nets]
    )


@jax.jit
def _largest_gap(
    counts: Int[Array, "n n"], inner: Float[Array, "n n"], limit: Float[Array, "n n"], width: int
) -> Float[Array, ""]:
    return jnp.max(jnp.abs(inner * (counts.astype(inner.dtype) / width) - limit))


@claim(
    "K4b-many",
    "many samples, m ≥ 32 ‖X‖² log(n/δ)/λ0 ⇒ λ_min(H(0)) ≥ ¾λ0 with probability ≥ 1 − δ, δ = ½",
    letter="P",
    source=BOUNDS["K4b"].source,
)
def smallest_eigenvalues(context: Context) -> Iterator[Evidence]:
    """Gram matrices from counts on the device, exact in float32; λ_min of each enclosed in float64."""
    made = problem(_SPHERE, _SAMPLES[context.preset.name], context.seed)
    numbers = {"n": made.num_samples, "lambda0": made.lambda0.lower, "spectral": made.spectral_norm, "delta": _HALF}
    width, threshold = BOUNDS["K4b"].smallest_width(**numbers), 0.75 * made.lambda0.upper
    values, control = (
        np.array(
            [
                smallest_lower(gram_at(net, made), made)
                for net in initial_networks(context, "K4b-many", made, neurons, _NETWORKS)
            ]
        )
        for neurons in (width, -(-width // _FEWER))
    )
    yield with_probability(
        "K4b-many", f"{made}, d = {made.dataset.input_dim}, m = {width}",
        Condition(f"m ≥ {width}", BOUNDS["K4b"].premise_met(m=width, **numbers)),
        f"λ_min(H(0)) ≥ ¾λ0 = {threshold:.4g}", values, threshold,
        control=control, control_setting=f"m {_FEWER} times smaller", at_least=True, delta=_HALF,
    )  # fmt: skip
