"""Deep networks for certificates, and Local GD on them in NumPy's float64 and nothing else."""

import dataclasses
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_localsgd import certificate, datasets, seeds
from ntk_localsgd.certificate.deep.certifier import DeepCertifier
from ntk_localsgd.certificate.deep.steps import PROVED, DeepSteps
from ntk_localsgd.clients import Clients
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import LocalSGD
from ntk_localsgd.networks import DeepReLU
from verification.jobs.certificates import Tally

__all__ = ["DeepCase", "DeepObserved", "RandomDeepCertificates", "certify_deep", "follow_deep", "random_deep_case"]


class DeepCase(NamedTuple):
    """A deep network, its data, its clients and the run to come."""

    inputs: Float[ndarray, "n d"]
    targets: Float[ndarray, "n o"]
    clients: Clients
    first: Float[ndarray, "m d"]
    hidden: tuple[Float[ndarray, "m m"], ...]
    last: Float[ndarray, "o m"]
    step_size: float
    local_steps: int

    @property
    def outputs(self) -> Float[ndarray, "n o"]:
        """f(W, x_i)."""
        return _layers(self, self.hidden, self.inputs)[0][-1] @ self.last.T

    @property
    def largest_step(self) -> float:
        """1/max_c λ_max(Θ_cc), Θ from the gradients themselves; infinite where they vanish."""
        identity = np.eye(len(self.last))
        rows = [
            np.concatenate([g.ravel() for g in _gradient(self, self.hidden, self.inputs[i : i + 1], one[None])])
            for i in range(len(self.inputs))
            for one in identity
        ]
        gram = np.stack(rows) @ np.stack(rows).T
        own = [(p[:, None] * len(identity) + np.arange(len(identity))).ravel() for p in self.clients.indices]
        largest = max(float(np.linalg.eigvalsh(gram[np.ix_(p, p)])[-1]) for p in own)
        return 1 / largest if largest > 0 else np.inf


class DeepObserved(NamedTuple):
    """A run as it happened; ``switched``: the sign differed at an averaged or an own client's local model."""

    residual_norms: Float[ndarray, "R+1"]
    movement: float  # max ‖W' − W‖_F over all models
    switched: Bool[ndarray, "m L n"]


def _layers(
    case: DeepCase, hidden: tuple[ndarray, ...], inputs: Float[ndarray, "k d"]
) -> tuple[list[ndarray], list[ndarray]]:
    h, z = [np.maximum(inputs @ case.first.T, 0)], []
    for weights in hidden:
        z.append(h[-1] @ weights.T)
        h.append(np.where(z[-1] >= 0, z[-1], 0))
    return h, z


def _gradient(
    case: DeepCase, hidden: tuple[ndarray, ...], inputs: Float[ndarray, "k d"], residual: Float[ndarray, "k o"]
) -> list[ndarray]:
    """Σ_i Σ_q residual_iq ∇f_q(x_i), layer by layer."""
    h, z = _layers(case, hidden, inputs)
    gradients: list[ndarray] = []
    upper = residual @ case.last
    for layer in range(len(hidden) - 1, -1, -1):
        lower = np.where(z[layer] >= 0, upper, 0)
        gradients.insert(0, lower.T @ h[layer])
        upper = lower @ hidden[layer]
    return gradients


def follow_deep(case: DeepCase, rounds: int) -> DeepObserved:
    """Run the case for some rounds, watching every model of every client."""
    start = np.stack(_layers(case, case.hidden, case.inputs)[1]) >= 0
    switched, everything = np.zeros_like(start), np.arange(len(case.inputs))
    weights, norms, movement = case.hidden, [], 0.0
    for t in range(rounds + 1):
        models = [(weights, everything)]
        norms.append(float(np.linalg.norm(_layers(case, weights, case.inputs)[0][-1] @ case.last.T - case.targets)))
        total = [np.zeros_like(w) for w in weights]
        for part in case.clients.indices if t < rounds else ():
            local, x = weights, case.inputs[part]
            for _ in range(case.local_steps):
                residual = _layers(case, local, x)[0][-1] @ case.last.T - case.targets[part]
                steps = _gradient(case, local, x, residual)
                local = tuple(w - case.step_size * g for w, g in zip(local, steps, strict=True))
                models.append((local, part))
            total = [s + (own - w) for s, own, w in zip(total, local, weights, strict=True)]
        for model, part in models:
            switched[:, part] |= (np.stack(_layers(case, model, case.inputs[part])[1]) >= 0) != start[:, part]
            squares = sum(float(np.square(w - own).sum()) for w, own in zip(model, case.hidden, strict=True))
            movement = max(movement, float(np.sqrt(squares)))
        weights = tuple(w + s / case.clients.num_clients for w, s in zip(weights, total, strict=True))
    return DeepObserved(np.array(norms), movement, switched.transpose(2, 0, 1))


def random_deep_case(rng: np.random.Generator) -> DeepCase:
    """Random sizes, unequal clients, τ and η up to the limit; targets near the outputs; often neurons near kinks."""
    n, d, depth, outputs = (int(rng.integers(*limits)) for limits in ((1, 6), (2, 9), (1, 5), (1, 3)))
    width, num_clients = int(10 ** rng.uniform(1.0, 2.2)), int(rng.integers(1, min(n, 3) + 1))
    x = rng.standard_normal((n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    owner = rng.permutation(np.concatenate([np.arange(num_clients), rng.integers(0, num_clients, n - num_clients)]))
    parts = Clients(tuple(np.flatnonzero(owner == c) for c in range(num_clients)))
    first, last = rng.standard_normal((width, d)) * np.sqrt(2 / width), rng.standard_normal((outputs, width))
    hidden = tuple(rng.standard_normal((width, width)) * np.sqrt(2 / width) for _ in range(depth))
    case = DeepCase(x, np.zeros((n, outputs)), parts, first, hidden, last, 1.0, 1)
    size = 10 ** rng.uniform(-4.5, -0.5)
    if rng.random() < 0.7:
        case = _near_kinks(case, rng, size)
    directions = (rng.standard_normal((n, outputs)), np.ones((n, outputs)), rng.choice([-1.0, 1.0], (n, outputs)))
    case = case._replace(targets=case.outputs + size * directions[rng.integers(len(directions))])
    step = rng.uniform(0.1, 0.999) * min(case.largest_step, 1e3)
    return case._replace(step_size=float(step), local_steps=int(rng.choice([1, 2, 3, 5, 8])))


def _near_kinks(case: DeepCase, rng: np.random.Generator, size: float) -> DeepCase:
    """Some neurons of every layer are moved to a kink of one sample, as near as the run may move them."""
    width, hidden = len(case.first), list(case.hidden)
    for layer in range(len(hidden)):
        sample = int(rng.integers(len(case.inputs)))
        h = _layers(case, tuple(hidden), case.inputs[[sample]])[0][layer][0]
        if not h.any():
            continue
        rows = rng.choice(width, rng.integers(1, 4))
        wanted = size / np.sqrt(width) * rng.standard_normal(len(rows)) * rng.choice([0.0, 0.1, 1.0])
        weights = hidden[layer].copy()
        weights[rows] += np.outer(wanted - weights[rows] @ h, h / (h @ h))
        hidden[layer] = weights
    return case._replace(hidden=tuple(hidden))


def certify_deep(case: DeepCase, steps: DeepSteps = PROVED) -> certificate.Certificate | None:
    """The certificate of a case by these steps; None where the theorem does not apply."""
    net = DeepReLU.from_arrays(case.first, list(case.hidden), case.last)
    targets = case.targets if len(case.last) > 1 else case.targets[:, 0]
    data, config = datasets.from_arrays(case.inputs, targets), LocalSGD(case.step_size, case.local_steps, 0)
    try:
        return DeepCertifier(net, data, case.clients, config, steps).run(estimate=False)
    except InputError:
        return None


@dataclasses.dataclass(frozen=True)
class RandomDeepCertificates:
    """Random deep cases that are certified where they can be, and followed.

    ``overstated`` divides the certified rate and radius: a control. Counting stops at ``enough`` certified runs.
    """

    runs: int
    seed: int
    overstated: float = 1.0
    enough: int | None = None

    def compute(self) -> xr.Dataset:
        """The tally, as scalars."""
        generator, tally = seeds.generator(self.seed, "C8-deep"), Tally()
        for _ in range(self.runs):
            case = random_deep_case(generator)
            proof = certify_deep(case)
            if proof is None:
                continue
            rate, radius = proof.rate / self.overstated, proof.radius / self.overstated
            tally.add(case, dataclasses.replace(proof, rate=rate, radius=radius), follow_deep)
            if tally.certified == self.enough:
                break
        return tally.dataset()
