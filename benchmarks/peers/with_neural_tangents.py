"""neural-tangents' empirical kernel, in this project's own environment (it is a dependency)."""

import sys

import jax
import jax.numpy as jnp
from serving import serve

from ntk_localsgd.kernels.neural_tangents import neural_tangents


def gram(arrays, settings):
    """Θ of the same outputs; implementation 1 contracts Jacobians, 2 takes NTK-vector products."""
    x = jnp.asarray(arrays.pop("x"))
    arrays = {name: jnp.asarray(value) for name, value in arrays.items()}
    trained, outputs = model(arrays)
    kernel = neural_tangents().empirical_ntk_fn(outputs, trace_axes=(), implementation=settings["implementation"])
    compiled = jax.jit(lambda weights: kernel(x, None, weights)[:, :, 0, 0])
    return lambda: jax.block_until_ready(compiled(trained))


def model(arrays):
    """Trained weights, and outputs [n 1] as a function of them; products in full float32."""
    relu, product = (lambda z: jnp.where(z >= 0, z, 0)), (lambda a, b: jnp.matmul(a, b, precision="highest"))
    if "signs" in arrays:
        signs = arrays["signs"] / jnp.sqrt(jnp.float32(len(arrays["signs"])))
        return arrays["weights"], lambda weights, x: product(relu(product(x, weights.T)), signs)[:, None]
    hidden = [arrays[f"hidden_{layer}"] for layer in range(len(arrays) - 2)]

    def outputs(weights, x):
        h = relu(product(x, arrays["input_weights"].T))
        for layer in weights:
            h = relu(product(h, layer.T))
        return product(h, arrays["output_weights"].T)

    return hidden, outputs


if __name__ == "__main__":
    sys.exit(serve({"gram": gram}))
