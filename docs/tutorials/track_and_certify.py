"""
A student tracks and certifies a network
========================================

Train a wide network on digits by Local GD with clients that see one digit each, watch what moves, predict the loss
without training, and ask for a proof that training converges.
"""

# %%
# The data, who holds which samples, and λ0 as an enclosure: above 0, so no two images are parallel.

import jax
import numpy as np

from figures import trajectory
from ntk_localsgd import certificate, clients, datasets, kernels, local_sgd, networks, prediction

jax.config.update("jax_enable_x64", True)
key = jax.random.key(0)
data = datasets.digits(8, classes=(3, 8), key=key)
split = clients.by_label(key, data, 4, classes_per_client=1)
gram = kernels.infinite_gram(data.inputs)
lambda0 = kernels.smallest_eigenvalue(gram, error=kernels.infinite_gram_error(*data.inputs.shape))
print(f"λ0 in [{lambda0.lower:.4g}, {lambda0.upper:.4g}]")

# %%
# Training, with what is worth watching. The result is a labelled `xarray.Dataset`.

net = networks.TwoLayerReLU.init(key, width=4096, input_dim=data.input_dim)
config = local_sgd.LocalSGD(step_size=0.5, local_steps=5, num_rounds=140)
run = local_sgd.run(
    net, data, split, config, observe=("neuron_movement", "flip_fraction", "smallest_eigenvalue"), gram_every=20
)
print(run.trajectory.loss[::35].values)
print(f"{float(run.trajectory.flip_fraction[-1]):.1%} of all activations differ from the start's")

# %%
# The same loss from the kernel at the start alone: `docs/theory.md`, section 4.

theta = kernels.empirical_gram(net, data.inputs)
predicted = prediction.local_gd(theta, split, np.asarray(net(data.inputs)) - data.targets, config)
print(0.5 * (predicted[::35] ** 2).sum(axis=1))

# %%
# What moved, drawn.

figure = trajectory.draw(run)

# %%
# A proof. At the start there is none for this width; towards the end of training there is: from there on the loss falls
# to zero, at the rate that is named.

for name, where in (("start", net), ("end", run.network)):
    proof = certificate.certify(where, data, split, config)
    print(f"at the {name}:", f"a factor {proof.rate:.5f} a round" if proof.certified else proof.explanation)
