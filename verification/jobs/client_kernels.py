"""Gram matrices between the averaged network and clients' local ones, and how far a round leaves the gradient."""

import dataclasses
from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import clients, kernels, prediction
from ntk_localsgd.networks import TwoLayerReLU
from verification.jobs.training import Training

__all__ = ["ClientKernels"]


@dataclasses.dataclass(frozen=True)
class ClientKernels(Training):
    """Local GD on the two-layer network, followed in NumPy's float64, every local model of every client.

    Attributes
    ----------
    fault
        What a control does wrong: the average lacks a client, or local steps follow the gradients of the round's start.
    """

    fault: Literal["client left out", "gradients of the start"] | None = None

    def compute(self) -> xr.Dataset:
        """By seed and round t, and by local step k where said; H(t, k) is made of columns of all clients.

        ``asymmetry`` ‖H − Hᵀ‖_F/‖H‖_F [seed round step]; ``smallest`` below λ_min((H + Hᵀ)/2), the least over k;
        ``excess`` max_ij of m|H(t,k) − H(t,0)|_ij/|G_ij| − (flips of j at its client), and ``excess_of_rows`` the same
        with the flips of i; ``cosine`` of the server's movement with −∇L, ``predicted_cosine`` from H(t, 0), and
        ``predicted_of_all`` the same as if all samples were one client's; ``loss``.
        """
        followed = [self._follow(seed) for seed in self.seeds]
        names = {"asymmetry": ("round", "step"), "loss": ("end",)}
        variables = {
            name: (("seed", *names.get(name, ("round",))), np.array([one[name] for one in followed]))
            for name in followed[0]
        }
        return xr.Dataset(variables, {"seed": list(self.seeds)})

    def _follow(self, seed: int) -> dict[str, list]:
        """One network's run."""
        net = self.network(seed)
        assert isinstance(net, TwoLayerReLU)
        dataset, config, parts = self.dataset, self.config, self.clients.indices
        splits = {
            "predicted_cosine": self.clients,
            "predicted_of_all": clients.Clients((np.arange(len(dataset.inputs)),)),
        }
        x, y, inner = dataset.inputs, dataset.targets, dataset.inputs @ dataset.inputs.T
        weights, signs = np.asarray(net.weights, np.float64), np.asarray(net.signs, np.float64)
        kept: dict[str, list] = {name: [] for name in (*_ROUND, "loss")}
        for _ in range(self.num_rounds):
            patterns, residual = _pattern(x, weights), _residual(x, y, weights, signs)
            counts = np.empty((self.local_steps, len(x), len(x)))
            flips = np.empty((self.local_steps, len(x)))
            movement = np.zeros_like(weights)
            for number, part in enumerate(parts):
                local = weights
                for k in range(self.local_steps):
                    own = _pattern(x[part], local)
                    counts[k][:, part] = patterns @ own.T
                    flips[k, part] = (own != patterns[part]).sum(axis=1)
                    there = weights if self.fault == "gradients of the start" else local
                    local = local - self.step_size * _gradient(x[part], y[part], there, signs)
                if number or self.fault != "client left out":
                    movement += (local - weights) / len(parts)
            grams = inner * counts / self.width
            kept["asymmetry"].append([_asymmetry(gram) for gram in grams])
            kept["smallest"].append(min(self._smallest(gram) for gram in grams))
            changed = np.abs(counts - counts[0])
            kept["excess"].append(float((changed - flips[:, None, :]).max()))
            kept["excess_of_rows"].append(float((changed - flips[:, :, None]).max()))
            downhill = -_gradient(x, y, weights, signs)
            kept["cosine"].append(_quotient(np.sum(movement * downhill), np.sum(movement**2) * np.sum(downhill**2)))
            for name, split in splits.items():
                gained = prediction.round_weights(grams[0], split, config) @ residual
                squares = (gained @ grams[0] @ gained) * (residual @ grams[0] @ residual)
                kept[name].append(_quotient(residual @ grams[0] @ gained, squares))
            kept["loss"].append(float(residual @ residual) / 2)
            weights = weights + config.server_step_size * movement
        residual = _residual(x, y, weights, signs)
        kept["loss"].append(float(residual @ residual) / 2)
        return kept

    def _smallest(self, gram: Float[ndarray, "n n"]) -> float:
        """Of the symmetric part; inner products and quotients round as those of H^∞ do, or less."""
        error = kernels.infinite_gram_error(*self.dataset.inputs.shape)
        return kernels.smallest_eigenvalue((gram + gram.T) / 2, error=error).lower


_ROUND = ("asymmetry", "smallest", "excess", "excess_of_rows", "cosine", "predicted_cosine", "predicted_of_all")


def _pattern(x: Float[ndarray, "n d"], weights: Float[ndarray, "m d"]) -> Float[ndarray, "n m"]:
    """1{w_r·x_i ≥ 0}; float32 counts are exact below 2²⁴ neurons."""
    return (x @ weights.T >= 0).astype(np.float32)


def _residual(
    x: Float[ndarray, "n d"], y: Float[ndarray, " n"], weights: Float[ndarray, "m d"], signs: Float[ndarray, " m"]
) -> Float[ndarray, " n"]:
    outputs: Float[ndarray, " n"] = np.maximum(x @ weights.T, 0) @ signs / np.sqrt(len(signs))
    return outputs - y


def _gradient(
    x: Float[ndarray, "n d"], y: Float[ndarray, " n"], weights: Float[ndarray, "m d"], signs: Float[ndarray, " m"]
) -> Float[ndarray, "m d"]:
    """∇L: row r is m^{-1/2} a_r Σ_i 1{w_r·x_i ≥ 0} r_i x_i."""
    z = x @ weights.T
    residual = np.maximum(z, 0) @ signs / np.sqrt(len(signs)) - y
    gradient: Float[ndarray, "m d"] = ((z >= 0) * residual[:, None] * signs).T @ x / np.sqrt(len(signs))
    return gradient


def _asymmetry(gram: Float[ndarray, "n n"]) -> float:
    return _quotient(float(np.linalg.norm(gram - gram.T)), float(np.sum(gram**2)))


def _quotient(product: float, squares: float) -> float:
    """product/√squares; NaN where nothing moves, as of neurons that are all off."""
    return float(product / np.sqrt(squares)) if squares > 0 else np.nan
