"""Losses and errors on rows that no client holds, as observables of a round's end."""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy import ndarray

from ntk_localsgd.datasets import Dataset
from ntk_localsgd.local_sgd.observables import Observable
from ntk_localsgd.local_sgd.states import RoundState
from ntk_localsgd.networks import Network

__all__ = ["held_out"]


def held_out(dataset: Dataset, *, name: str = "held_out") -> tuple[Observable, ...]:
    """The loss on a data set's rows, and the share of them that are classified wrongly, at every round's end.

    The loss is ½ mean_i ‖f(W(t), x_i) − y_i‖², a mean, so that it does not grow with the number of rows. A row is wrong
    if f and y have different signs, where y is ±1; or if their largest entries are elsewhere, where there are several
    targets a row. f = 0 counts as wrong.

    Parameters
    ----------
    dataset
        Rows to evaluate on, with as many inputs and targets as those that are trained on.
    name
        The observables are called ``name_loss`` and ``name_error``.

    Returns
    -------
    Observables to be named in ``observe``; without the error if targets are single numbers other than ±1.

    >>> import jax
    >>> from ntk_localsgd import datasets
    >>> [entry.name for entry in held_out(datasets.sphere(jax.random.key(0), 4, 8))]
    ['held_out_loss', 'held_out_error']
    """
    targets = dataset.targets
    loss = partial(_loss, dataset.inputs, targets)
    formula = "½ mean ‖f(W(t), x) − y‖² over held-out rows"
    found = [Observable(f"{name}_loss", "round", ("round",), "target²", formula, loss)]
    if targets.ndim == 2 or np.isin(targets, (-1, 1)).all():
        error = partial(_error, dataset.inputs, targets)
        formula = "share of held-out rows with another " + ("sign" if targets.ndim == 1 else "largest output")
        found.append(Observable(f"{name}_error", "round", ("round",), "1", formula, error))
    return tuple(found)


def _outputs(net: Network, inputs: Float[ndarray, "n d"], targets: ndarray) -> tuple[Array, Array]:
    """f and y, in the network's dtype."""
    outputs = net(inputs)
    return outputs, jnp.asarray(targets, outputs.dtype).reshape(outputs.shape)


def _loss(inputs: Float[ndarray, "n d"], targets: ndarray, state: RoundState) -> Float[Array, ""]:
    outputs, wanted = _outputs(state.network, inputs, targets)
    left = outputs - wanted
    return jnp.sum(left**2) / (2 * len(left))


def _error(inputs: Float[ndarray, "n d"], targets: ndarray, state: RoundState) -> Float[Array, ""]:
    outputs, wanted = _outputs(state.network, inputs, targets)
    several = outputs.ndim == 2
    wrong = jnp.argmax(outputs, axis=1) != jnp.argmax(wanted, axis=1) if several else outputs * wanted <= 0
    return jnp.mean(wrong.astype(outputs.dtype))
