"""One long certified run of a very wide network, on the device that trains it: C8-run."""

import math
from collections.abc import Iterator

import numpy as np
import xarray as xr

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
    """The certificate streams over the neurons, the run holds them; the control divides what is certified by ten."""
    n, input_dim, width = _SIZES[context.preset.name]
    data = datasets.sphere(context.key("C8-run data"), n, input_dim)
    split = clients.iid(context.key("C8-run clients"), data, _CLIENTS)
    key = context.key("C8-run network")
    net = TwoLayerReLU.init(key, width=width, input_dim=input_dim, dtype=np.float64)
    config = local_sgd.LocalSGD(0.9 * largest_step(net, data, split), _STEPS, _ROUNDS)
    proof = certificate.certify_at_init(
        key, data, split, width=width, step_size=config.step_size, local_steps=_STEPS, method="path", dtype=np.float64,
        estimate=False,
    )  # fmt: skip
    seen = local_sgd.run(net, data, split, config, observe=("neuron_movement", "flip_fraction")).trajectory
    shares, broken = (_shares(seen, proof, n * width, by=by) for by in (1, 10))
    parts = ", ".join(f"{name} {share:.3g}" for name, share in shares.items())
    worst = max(shares.values())
    holds = worst <= 1 if proof.certified else None
    yield Evidence(
        "C8-run", f"sphere, n = {n}, d = {input_dim}, {_CLIENTS} clients, {_STEPS} local steps, m = {width:,}",
        Condition(f"certified at initialization: {proof}", proof.certified),
        Condition(f"over {_ROUNDS} rounds, at most what is certified; shares of it: {parts}", holds),
        worst, 1.0,
        Control("rate, radius and number of pairs divided by ten", min(broken.values()) > 1,
                min(broken.values())),
    )  # fmt: skip


def _shares(seen: xr.Dataset, proof: certificate.Certificate, entries: int, *, by: int) -> dict[str, float]:
    """What was seen over what is certified, divided ``by`` a number: residual norm, movement, patterns that differ.

    The residual's share is the largest over rounds at which it stands out of float64's rounding.
    """
    norms = np.sqrt(2 * seen.loss.values)
    rounds = np.arange(len(norms))
    later = (norms > proof.rounding_floor) & (rounds > 0)
    bound = proof.constant * (proof.rate / by) ** rounds * norms[0]
    flips, pairs = round(float(seen.flip_fraction.max()) * entries), len(proof.switching)
    return {
        "residual": float(((norms - proof.rounding_floor) / bound)[later].max(initial=0.0)),
        "movement": float(seen.neuron_movement.max()) / (proof.radius / by),
        "patterns": by * flips / pairs if pairs else (math.inf if flips else 0.0),
    }
