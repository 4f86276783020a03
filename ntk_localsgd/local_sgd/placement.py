"""Several devices: what is spread over them and what each of them holds; the compiler does the rest.

The Gram matrix needs nothing from here: `kernels.empirical_gram` of inputs whose rows are spread over devices
(``jax.device_put(x, NamedSharding(mesh, PartitionSpec("rows")))``) has its rows where those of the inputs are.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ntk_localsgd.errors import InputError

__all__ = ["everywhere", "spread"]

_T = TypeVar("_T")


def spread(tree: _T, mesh: Mesh | None, what: str) -> _T:
    """The same arrays, their first axis cut along the mesh's first one; unchanged without a mesh.

    Raises
    ------
    InputError
        If the devices do not divide that axis, which counts ``what``.
    """
    if mesh is None:
        return tree
    axis = mesh.axis_names[0]
    number, devices = len(jax.tree.leaves(tree)[0]), mesh.shape[axis]
    if number % devices:
        raise InputError(f"mesh has {devices} devices along {axis!r}, which do not divide {number} {what}.")
    return jax.device_put(jax.tree.map(jnp.asarray, tree), NamedSharding(mesh, PartitionSpec(axis)))


def everywhere(tree: _T, mesh: Mesh | None) -> _T:
    """The same arrays on every device of the mesh; unchanged without one."""
    return tree if mesh is None else jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))
