"""Du, Zhai, Poczos and Singh (2019), figure 1, at a tenth of its size: wider networks move less, flip fewer patterns.

Points on the sphere with Gaussian labels, gradient descent. The paper has n = d = 1,000 and m = 1,000 … 8,000:
2.1% to 0.71% of the patterns flip, the farthest neuron moves by 2.02 to 0.71. Both fall like m^(-1/2).
"""

import jax
import numpy as np

from ntk_localsgd import clients, datasets, local_sgd, networks

N, WIDTHS, ROUNDS = 100, (250, 500, 1000, 2000), 100


def main():
    """Print a line a width, and the exponents."""
    key = jax.random.key(0)
    data = datasets.sphere(key, N, N, gaussian=True)
    everyone = clients.Clients((np.arange(N),))
    config = local_sgd.LocalSGD(step_size=1.0, local_steps=1, num_rounds=ROUNDS)
    seen = {"neuron_movement": [], "flip_fraction": []}
    for width in WIDTHS:
        net = networks.TwoLayerReLU.init(jax.random.fold_in(key, width), width=width, input_dim=N)
        end = local_sgd.run(net, data, everyone, config, observe=tuple(seen)).trajectory.isel(round=-1)
        for name, values in seen.items():
            values.append(float(end[name]))
        print(f"m = {width}: loss {float(end.loss):.2g}, movement {float(end.neuron_movement):.3f}, "
              f"flipped {float(end.flip_fraction):.2%}")  # fmt: skip
    return {name: float(np.polyfit(np.log(WIDTHS), np.log(values), 1)[0]) for name, values in seen.items()}


if __name__ == "__main__":
    for name, power in main().items():
        print(f"{name} ∝ m^{power:.2f}")
