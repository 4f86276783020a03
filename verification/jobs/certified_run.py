"""One long certified run of a very wide network, on the device that trains it."""

import dataclasses
import math

import numpy as np
import xarray as xr
from jaxtyping import Int
from numpy import ndarray

from ntk_localsgd import certificate, clients, datasets, local_sgd, seeds
from ntk_localsgd.networks import TwoLayerReLU
from verification.jobs.certificates import largest_step

__all__ = ["SHARES", "CertifiedRun", "shares"]

#: What a run is held against its certificate by, see `shares`.
SHARES = ("residual", "movement", "patterns")

Pairs = Int[ndarray, "p 2"]


@dataclasses.dataclass(frozen=True)
class CertifiedRun:
    """A network on random points of the sphere, certified at its initialization and then trained.

    float64 throughout: what is measured is then off by rounding errors that the certificate itself bounds. A network of
    10⁷ neurons and 64 inputs takes 5 GB, its run seven times that.
    """

    num_samples: int
    input_dim: int
    width: int
    num_clients: int
    local_steps: int
    num_rounds: int
    seed: int

    def compute(self) -> xr.Dataset:
        """`shares` as certified and overstated [certificate share], whether it is certified, and it in words.

        The certificate streams over the neurons, the run holds them.
        """
        data = datasets.sphere(seeds.key(self.seed, "C8-run data"), self.num_samples, self.input_dim)
        split = clients.iid(seeds.key(self.seed, "C8-run clients"), data, self.num_clients)
        key = seeds.key(self.seed, "C8-run network")
        net = TwoLayerReLU.init(key, width=self.width, input_dim=self.input_dim, dtype=np.float64)
        step_size = 0.9 * largest_step(net, data, split)
        config = local_sgd.LocalSGD(step_size, self.local_steps, self.num_rounds)
        proof = certificate.certify_at_init(
            key, data, split, config, width=self.width, method="path", dtype=np.float64, estimate=False
        )
        run = local_sgd.run(net, data, split, config, observe=("neuron_movement",))
        (before,), (after,) = (each.activation_patterns(data.inputs) for each in (net, run.network))
        switched = np.argwhere(np.asarray(before != after))
        values = [list(shares(run, proof, switched, by=by).values()) for by in (1, 3)]
        return xr.Dataset(
            {"share": (("certificate", "name"), np.array(values)), "certified": int(proof.certified)},
            {"certificate": ["as it is", "overstated"], "name": list(SHARES)},
            {"proof": str(proof)},
        )


def shares(run: local_sgd.Run, proof: certificate.Certificate, switched: Pairs, *, by: int) -> dict[str, float]:
    """What was seen over what is certified, infinite for a run that diverged.

    Parameters
    ----------
    run, proof
        The run with the movement of its neurons, and its certificate.
    switched
        The (sample, neuron) pairs whose pattern differs at the run's end.
    by
        1; controls overstate the certificate: its exponent of decay half as large again, its radius over ``by``, every
        ``by``-th pair named.

    Returns
    -------
    ``residual``: the largest share over rounds at which it stands out of float64's rounding. ``movement``: at round
    ends. ``patterns``: infinite if one that is not named differs, else those that differ over those that are named.
    """
    if run.diverged_at is not None:
        return dict.fromkeys(SHARES, math.inf)
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
