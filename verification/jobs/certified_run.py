"""One long certified run of a very wide network, on the device that trains it."""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from numpy import ndarray

from ntk_localsgd import certificate, clients, datasets, local_sgd, seeds
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.local_sgd.gradients import row_movement
from ntk_localsgd.networks import Network, TwoLayerReLU
from verification.jobs.certificates import largest_step

__all__ = ["SHARES", "CertifiedRun", "Seen", "follow", "shares"]

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
        seen = follow(net, data, split, config)
        values = [list(shares(seen, proof, by=by).values()) for by in (1, 3)]
        return xr.Dataset(
            {"share": (("certificate", "name"), np.array(values)), "certified": int(proof.certified)},
            {"certificate": ["as it is", "overstated"], "name": list(SHARES)},
            {"proof": str(proof)},
        )


class Seen(NamedTuple):
    """What a run shows at its rounds' ends."""

    residual_norms: Float[ndarray, " rounds+1"]
    movement: float  # max over rounds and neurons of ‖w_r(t) − w_r(0)‖
    switched: Pairs  # (sample, neuron) whose pattern differs from the start's at the end of any round


def follow(net: TwoLayerReLU, data: Dataset, split: Clients, config: local_sgd.LocalSGD) -> Seen:
    """Train round by round and compare every round's end with the start; a run that diverges ends infinite."""
    one = dataclasses.replace(config, num_rounds=1)
    (before,) = net.activation_patterns(data.inputs)
    at: Network = net
    losses: list[float] = []
    movement, ever = 0.0, np.zeros(before.shape, bool)
    for _ in range(config.num_rounds):
        run = local_sgd.run(at, data, split, one)
        if run.diverged_at is not None:
            return Seen(np.array([math.inf]), math.inf, np.argwhere(ever))
        at, losses = run.network, [*losses[:-1], *run.trajectory.loss.values.tolist()]
        (after,) = at.activation_patterns(data.inputs)
        ever |= np.asarray(before != after)
        movement = max(movement, float(row_movement(at, net)))
    return Seen(np.sqrt(2 * np.array(losses)), movement, np.argwhere(ever))


def shares(seen: Seen, proof: certificate.Certificate, *, by: int) -> dict[str, float]:
    """What was seen over what is certified, infinite for a run that diverged.

    Parameters
    ----------
    seen, proof
        The run and its certificate.
    by
        1; controls overstate the certificate: its exponent of decay half as large again, its radius over ``by``, every
        ``by``-th pair named.

    Returns
    -------
    ``residual``: the largest share over rounds at which it stands out of float64's rounding. ``movement``: at round
    ends. ``patterns``: infinite if one that is not named ever differs at a round's end, else those that do over those
    that are named.
    """
    norms = seen.residual_norms
    if not np.isfinite(norms).all():
        return dict.fromkeys(SHARES, math.inf)
    rounds = np.arange(len(norms))
    later = (norms > proof.rounding_floor) & (rounds > 0)
    bound = proof.constant * proof.rate ** (rounds * (1 if by == 1 else 1.5)) * norms[0]
    switched, named = (set(map(tuple, pairs.tolist())) for pairs in (seen.switched, proof.switching[::by]))
    return {
        "residual": float(((norms - proof.rounding_floor) / bound)[later].max(initial=0.0)),
        "movement": seen.movement / (proof.radius / by),
        "patterns": len(switched) / max(len(named), 1) if switched <= named else math.inf,
    }
