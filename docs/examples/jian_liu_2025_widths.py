"""Jian and Liu (2025): in federated averaging too, Θ and the weights change less in wider networks.

Ten clients, five with each of two digits. The paper has MNIST's 0 and 1 and widths 128 … 4,096; here are those
of scikit-learn.
"""

import jax
import numpy as np

from ntk_localsgd import clients, datasets, kernels, local_sgd, networks

N, WIDTHS, ROUNDS = 60, (128, 512, 2048), 100


def main():
    """Print relative changes of Θ and of the weights, and return their exponents in the width."""
    key = jax.random.key(0)
    data = datasets.digits(N, classes=(0, 1), key=key)
    split = clients.by_label(key, data, 10, classes_per_client=1)
    largest = max(np.linalg.eigvalsh(kernels.infinite_gram(data.inputs[part]))[-1] for part in split.indices)
    config = local_sgd.LocalSGD(step_size=0.5 / largest, local_steps=5, num_rounds=ROUNDS)
    changes = {"Θ": [], "weights": []}
    for width in WIDTHS:
        net = networks.TwoLayerReLU.init(jax.random.fold_in(key, width), width=width, input_dim=data.input_dim)
        after = local_sgd.run(net, data, split, config).network
        before, now = (np.asarray(kernels.empirical_gram(each, data.inputs)) for each in (net, after))
        changes["Θ"].append(np.linalg.norm(now - before) / np.linalg.norm(before))
        changes["weights"].append(float(np.linalg.norm(after.weights - net.weights) / np.linalg.norm(net.weights)))
        print(f"m = {width}: Θ changes by {changes['Θ'][-1]:.2%}, weights by {changes['weights'][-1]:.2%}")
    return {name: float(np.polyfit(np.log(WIDTHS), np.log(values), 1)[0]) for name, values in changes.items()}


if __name__ == "__main__":
    for name, power in main().items():
        print(f"{name} ∝ m^{power:.2f}")
