"""neural-tangents' empirical kernel, in this project's own environment (it is a dependency)."""

import sys

import jax
import jax.numpy as jnp
from serving import serve


def gram(arrays, settings):
    """Θ of the same outputs, by the module that this project imports."""
    from ntk_localsgd.kernels.neural_tangents import neural_tangents

    return gram_by(neural_tangents(), arrays, settings)


def gram_by(neural_tangents, arrays, settings):
    """Implementation 1 contracts Jacobians, 2 takes NTK-vector products, 3 structured derivatives.

    Each the way it is fastest: one sample at a time, and weights as the product takes them. A transposition of weights,
    or samples that are not declared as such, hides the structure: implementation 3 is 40 times as slow.
    """
    x = jnp.asarray(arrays.pop("x"))
    arrays = {name: jnp.asarray(value) for name, value in arrays.items()}
    trained, outputs = model(arrays)
    options = {"trace_axes": (), "vmap_axes": 0, "implementation": settings["implementation"]}
    kernel = neural_tangents.empirical_ntk_fn(outputs, **options)
    compiled = jax.jit(lambda weights: kernel(x, None, weights)[:, :, 0, 0])
    return lambda: jax.block_until_ready(compiled(trained))


def model(arrays):
    """Trained weights, transposed, and outputs [n 1] as a function of them; products in full float32."""
    relu, product = (lambda z: jnp.where(z >= 0, z, 0)), (lambda a, b: jnp.matmul(a, b, precision="highest"))
    if "signs" in arrays:
        signs = arrays["signs"] / jnp.sqrt(jnp.float32(len(arrays["signs"])))
        return arrays["weights"].T, lambda weights, x: product(relu(product(x, weights)), signs)[:, None]
    hidden = [arrays[f"hidden_{layer}"].T for layer in range(len(arrays) - 2)]

    def outputs(weights, x):
        h = relu(product(x, arrays["input_weights"].T))
        for layer in weights:
            h = relu(product(h, layer))
        return product(h, arrays["output_weights"].T)

    return hidden, outputs


if __name__ == "__main__":
    sys.exit(serve({"gram": gram}))
