"""One long certified run of a very wide network, on the device that trains it: C8-run."""

import math
from collections.abc import Iterator

import numpy as np

from ntk_localsgd import certificate, clients, datasets, local_sgd
from ntk_localsgd.evidence import Condition, Control, Evidence
from ntk_localsgd.networks import TwoLayerReLU
from verification.claims import claim
from verification.context import Context
from verification.runs import largest_step

_CLIENTS, _STEPS, _ROUNDS = 4, 5, 30

# Samples, inputs, neurons. float64 throughout: what is measured is then off by rounding errors that the certificate
# itself bounds. The network of `gpu` takes 5 GB, its run seven times that.
_SIZES = {
    "smoke": (4, 16, 2**13),
    "quick": (8, 32, 2**16),
    "full": (32, 64, 10**6),
    "gpu": (32, 64, 10**7),
}


@claim(
    "C8-run",
    "certified at a random initialization ⇒ the network that is then trained keeps the certified rate, movement and "
    "patterns",
    letter="D",
    source="docs/theory.md §5",
)
def certified_run(context: Context) -> Iterator[Evidence]:
    """The certificate streams over the neurons, the run holds them."""
    n, input_dim, width = _SIZES[context.preset.name]
    data = datasets.sphere(context.key("C8-run data"), n, input_dim)
    split = clients.iid(context.key("C8-run clients"), data, _CLIENTS)
    key = context.key("C8-run network")
    net = TwoLayerReLU.init(key, width=width, input_dim=input_dim, dtype=np.float64)
    config = local_sgd.LocalSGD(0.9 * largest_step(net, data, split), _STEPS, _ROUNDS)
    proof = certificate.certify_at_init(
        key, data, split, config, width=width, method="path", dtype=np.float64, estimate=False
    )
    run = local_sgd.run(net, data, split, config, observe=("neuron_movement",))
    (before,), (after,) = (each.activation_patterns(data.inputs) for each in (net, run.network))
    setting = f"sphere, n = {n}, d = {input_dim}, {_CLIENTS} clients, {_STEPS} local steps, m = {width:,}"
    yield _evidence(setting, proof, run, np.argwhere(np.asarray(before != after)))


def _evidence(setting: str, proof: certificate.Certificate, run: local_sgd.Run, switched: np.ndarray) -> Evidence:
    """Shares of what is certified; ``switched``: the (sample, neuron) pairs whose pattern differs at the run's end."""
    shares, broken = (_shares(run, proof, switched, by=by) for by in (1, 3))
    parts = ", ".join(f"{name} {share:.3g}" for name, share in shares.items())
    worst = max(shares.values())
    return Evidence(
        "C8-run", setting,
        Condition(f"certified at initialization: {proof}", proof.certified),
        Condition(f"over {_ROUNDS} rounds, shares of what is certified ≤ 1: {parts}",
                  worst <= 1 if proof.certified else None),
        worst, 1.0,
        Control("exponent of decay half as large again, a third of the radius, every third pair named",
                min(broken.values()) > 1, min(broken.values())),
    )  # fmt: skip


def _shares(run: local_sgd.Run, proof: certificate.Certificate, switched: np.ndarray, *, by: int) -> dict[str, float]:
    """What was seen over what is certified, infinite for a run that diverged; ``by`` > 1: over less than that.

    ``residual``: the largest share over rounds at which it stands out of float64's rounding. ``movement``: at round
    ends. ``patterns``: infinite if one that is not named differs at the run's end, else those that differ over those
    that are named.
    """
    if run.diverged_at is not None:
        return dict.fromkeys(("residual", "movement", "patterns"), math.inf)
    norms = np.sqrt(2 * run.trajectory.loss.values)
    rounds = np.arange(len(norms))
    later = (norms > proof.rounding_floor) & (rounds > 0)
    bound = proof.constant * proof.rate ** (rounds * (1 if by == 1 else 1.5)) * norms[0]
    seen, named = (set(map(tuple, pairs.tolist())) for pairs in (switched, proof.switching[::by]))
    return {
        "residual": float(((norms - proof.rounding_floor) / bound)[later].max(initial=0.0)),
        "movement": float(run.trajectory.neuron_movement.max()) / (proof.radius / by),
        "patterns": len(seen) / max(len(named), 1) if seen <= named else math.inf,
    }
