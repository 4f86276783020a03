"""What the key property (S1b) is held against: kernels of clients at the start, and pairs of weights across a kink."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from ntk_localsgd import kernels
from ntk_localsgd.local_sgd.gradients import difference, gradient, norm
from ntk_localsgd.networks import DeepReLU
from verification.data import Source
from verification.jobs.deep_start import joined_outputs
from verification.jobs.training import Training

__all__ = ["GAPS", "AcrossKink", "ClientNorms"]

#: Distances of the two sides of a kink.
GAPS = tuple(10.0**-k for k in range(1, 9))


@dataclasses.dataclass(frozen=True)
class ClientNorms:
    """Of the networks that a training starts from."""

    training: Training

    def compute(self) -> xr.Dataset:
        """``norm`` [seed]: max_c λ_max(Θ_cc(W(0))) = max_c ‖J_c‖²."""
        training, problem = self.training, self.training.problem
        nets = [training.network(seed) for seed in training.seeds]
        grams = np.stack([np.asarray(kernels.empirical_gram(net, problem.inputs), np.float64) for net in nets])
        parts = (grams[:, part][:, :, part] for part in training.clients.indices)
        norms = [np.linalg.eigvalsh(joined_outputs(part))[:, -1] for part in parts]
        return xr.Dataset({"norm": ("seed", np.max(norms, axis=0))}, {"seed": list(training.seeds)})


@dataclasses.dataclass(frozen=True)
class AcrossKink:
    """Pairs of weights off any trajectory: one neuron of the first layer on either side of the kink of one sample."""

    data: Source
    width: int
    depth: int
    seed: int

    def compute(self) -> xr.Dataset:
        """By distance ``gap``: ‖∇L(W) − ∇L(W')‖², ‖W − W'‖² and L(W'), one client.

        The weights are drawn in float32, as training draws them, and moved in float64, as 1e-8 asks for.
        """
        problem = self.data.load()
        shape = {"width": self.width, "depth": self.depth, "output_dim": problem.num_outputs}
        net = DeepReLU.init(jax.random.key(self.seed), input_dim=problem.dataset.input_dim, dtype=np.float32, **shape)
        net = jax.tree.map(lambda w: w.astype(jnp.float64), net)
        x, y = jnp.asarray(problem.inputs), jnp.asarray(problem.dataset.targets)
        columns = jax.jit(lambda gap: _on_both_sides(net, x, y, gap))
        rows = np.array([columns(gap) for gap in GAPS])
        names = ("gradients", "distances", "losses")
        return xr.Dataset({name: ("gap", rows[:, k]) for k, name in enumerate(names)}, {"gap": list(GAPS)})


def _on_both_sides(net: DeepReLU, x: Array, y: Array, gap: Array) -> Array:
    """‖Δ∇‖², ‖ΔW‖², L(W') where the neuron that the output hears most is ``gap`` apart, across the first sample's kink.

    The neuron most heard, so that the sample's crossing is felt at all.
    """
    h, first = net.layers(x)[0][0][0], net.trained[0]
    heard = jnp.abs(jax.grad(_output)(first, net, x)).sum(axis=1)
    row = jnp.argmax(heard)
    to_kink = (first[row] @ h) / (h @ h)
    sides = [
        net.with_trained((first.at[row].add((sign * gap / jnp.linalg.norm(h) - to_kink) * h), *net.trained[1:]))
        for sign in (0.5, -0.5)
    ]
    everyone = jnp.ones(len(x), bool)
    change = norm(difference(*(gradient(side, x, y, everyone) for side in sides)))
    apart = norm(difference(sides[0].trained, sides[1].trained))
    return jnp.stack([change**2, apart**2, jnp.sum((sides[1](x) - y) ** 2) / 2])


def _output(first: Array, net: DeepReLU, x: Array) -> Array:
    return jnp.sum(net.with_trained((first, *net.trained[1:]))(x[:1]))
