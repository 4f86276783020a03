"""What trained networks do on samples that they have not seen, beside yᵀ(H^∞)⁻¹y."""

import dataclasses

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import clients, datasets, kernels, local_sgd
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.networks import TwoLayerReLU
from ntk_localsgd.randomness import generator
from verification.jobs.training import stream

__all__ = ["LABELS", "Generalization"]

#: Even against odd digits; the same labels shuffled, once and once more.
LABELS = ("true", "shuffled", "shuffled anew")

# Images of handwritten digits that there are.
_IMAGES = 1797


@dataclasses.dataclass(frozen=True)
class Generalization:
    """Digits, even against odd: the first n of a random order are trained on, all others are the test.

    Attributes
    ----------
    samples
        n, ascending.
    seeds
        One a random order of the images.
    width, rounds
        m of a network that Local GD trains for so many rounds, K = 4, iid, τ = 10, η = 0.9/λ_max(H^∞). Its neurons are
        coupled, so that f(0) = 0 as in the infinitely wide one: otherwise its limit is another function, off by what
        f(0) is on the test. 0: none but the infinitely wide one is trained, to the end.
    """

    samples: tuple[int, ...]
    seeds: tuple[int, ...]
    width: int = 0
    rounds: int = 0

    def compute(self) -> xr.Dataset:
        """By seed, n and labels: ``form`` (above yᵀ(H^∞)⁻¹y) and ``loss``, the test's mean of min(1, |f − y|)."""
        form = np.empty((len(self.seeds), len(self.samples), len(LABELS)))
        loss, smallest = np.empty_like(form), np.empty(form.shape[:2])
        for i, seed in enumerate(self.seeds):
            x, labels = _images(seed)
            for j, n in enumerate(self.samples):
                gram, error = kernels.infinite_gram(x[:n]), kernels.infinite_gram_error(n, x.shape[1])
                smallest[i, j] = kernels.smallest_eigenvalue(gram, error=error).lower
                across = kernels.infinite_gram(x[n:], x[:n])
                for k, y in enumerate(labels):
                    form[i, j, k] = kernels.inverse_quadratic_form(gram, y[:n], error=error).upper
                    wide = across @ np.linalg.solve(gram, y[:n])
                    outputs = self._trained(x, y, n, seed) if self.width else wide
                    loss[i, j, k] = np.minimum(1, np.abs(outputs - y[n:])).mean()
        names = ("seed", "n", "labels")
        return xr.Dataset(
            {"form": (names, form), "loss": (names, loss), "smallest": (names[:2], smallest)},
            {"seed": list(self.seeds), "n": list(self.samples), "labels": list(LABELS)},
        )

    def _trained(self, x: Float[ndarray, "N d"], y: Float[ndarray, " N"], n: int, seed: int) -> Float[ndarray, " N-n"]:
        """Outputs on the test of a network that Local GD has trained."""
        data = Dataset(x[:n], y[:n], "digits")
        step_size = 0.9 / kernels.spectral_norm(kernels.infinite_gram(data.inputs)).upper
        key = jax.random.key(seed)
        net = TwoLayerReLU.init(key, width=self.width, input_dim=x.shape[1], dtype=np.float32, coupled=True)
        split = clients.iid(stream(seed, "clients"), data, 4)
        run = local_sgd.run(net, data, split, local_sgd.LocalSGD(step_size, 10, self.rounds))
        return np.asarray(net.with_trained(run.network.trained)(x[n:]), np.float64)


def _images(seed: int) -> tuple[Float[ndarray, "N d"], list[Float[ndarray, " N"]]]:
    """All images in a random order, and their labels of every kind."""
    data = datasets.digits(_IMAGES, key=jax.random.key(seed))
    assert data.labels is not None
    true = np.where(data.labels % 2 == 0, 1.0, -1.0)
    numbers = generator(stream(seed, "shuffled labels"))
    return data.inputs, [true, numbers.permutation(true), numbers.permutation(true)]
