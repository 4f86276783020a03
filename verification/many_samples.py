"""The kernel at initialization with many samples, where the Gram matrix is the work: K4a-many, K4b-many."""

from collections.abc import Iterator

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Evidence
from verification.claims import claim
from verification.context import Context, problem
from verification.kernel_at_init import chernoff_row, entries_near_limit

_SAMPLES = {"smoke": 40, "quick": 400, "full": 2000, "gpu": 10_000}

# All there are: scikit-learn's digits.
_DIGITS = 1797

# In ℝ²⁵⁶, many points still have an H^∞ far from singular, and K4b asks for a width that fits.
_SPHERE = "sphere 256"

# Every network's smallest eigenvalue takes factorisations of an n × n matrix. Seven networks, none of which fails,
# decide a failure probability of one half: their interval's upper end is 0.41.
_NETWORKS, _HALF = 7, 0.5

# How many times fewer neurons the control has. K4b becomes more cautious with n: at n = 10,000 a 256th still does.
_FEWER = 1024


@claim(
    "K4a-many",
    "many samples, with probability ≥ 1 − δ: max_ij |H_ij(0) − H^∞_ij| ≤ √(log(2n²/δ) / 2m)",
    letter="P",
    source=BOUNDS["K4a"].source,
)
def concentration_entries(context: Context) -> Iterator[Evidence]:
    """K4a where the union bound runs over many more entries."""
    samples = _SAMPLES[context.preset.name]
    for kind, count in (("digits10", min(samples, _DIGITS)), (_SPHERE, samples)):
        yield entries_near_limit(context, "K4a-many", problem(kind, count, context.seed))


@claim(
    "K4b-many",
    "many samples, m ≥ 32 ‖X‖² log(n/δ)/λ0 ⇒ λ_min(H(0)) ≥ ¾λ0 with probability ≥ 1 − δ, δ = ½",
    letter="P",
    source=BOUNDS["K4b"].source,
)
def smallest_eigenvalues(context: Context) -> Iterator[Evidence]:
    """Gram matrices from counts on the device, exact in float32; λ_min of each enclosed in float64."""
    made = problem(_SPHERE, _SAMPLES[context.preset.name], context.seed)
    yield chernoff_row(context, "K4b-many", made, delta=_HALF, trials=_NETWORKS, fewer=_FEWER)
