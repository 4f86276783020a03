"""The compiled rounds of one network, or of several as one program, and where their arrays are."""

from collections.abc import Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, PyTree

from ntk_localsgd.local_sgd.gradients import ClientData, Weights
from ntk_localsgd.local_sgd.placement import everywhere, spread
from ntk_localsgd.local_sgd.rounds import CARRIED, Sizes, State, begin, go_on
from ntk_localsgd.local_sgd.ways import Plan, Seen, choose
from ntk_localsgd.networks import Network

__all__ = ["Together"]

_T = TypeVar("_T")


class Together:
    """The compiled rounds of one network, or of several as one program, and where their arrays are."""

    def __init__(
        self,
        nets: tuple[Network, ...],
        keys: Sequence[Array] | None,
        data: ClientData,
        sizes: Sizes,
        plan: Plan,
        mesh: Mesh | None,
    ) -> None:
        self.nets, self.mesh, self.many = nets, mesh, len(nets) > 1
        self.sizes = sizes
        self.plan, self.way = plan, choose(nets[0], data, plan)
        self.key = None if keys is None else keys[0]
        if self.many:
            self.data = everywhere(data, mesh)
            # On the device this is a program of its own for every shape and number of networks.
            stack = np.stack if jax.default_backend() == "cpu" else jnp.stack
            self.net = spread(jax.tree.map(lambda *leaves: stack(leaves), *nets), mesh, "networks")
            self.key = None if keys is None else spread(jnp.stack(list(keys)), mesh, "networks")
        else:
            self.data, self.net = spread(data, mesh, "clients"), everywhere(nets[0], mesh)

    def begin(self, here: tuple[Network, ...], optimizers: Sequence[PyTree] | None) -> tuple[State, Seen, Seen]:
        """The state at these networks, one each, and at these states of the server's optimizer (None: the first)."""
        trained = self.net.trained if here is self.nets else self._placed([net.trained for net in here])
        optimizer = None if optimizers is None else self._placed(optimizers)
        return begin(self.net, trained, optimizer, self.data, way=self.way, plan=self.plan, many=self.many)

    def _placed(self, each: Sequence[_T]) -> _T:
        """One tree a network, as the compiled rounds take them."""
        if not self.many:
            return everywhere(each[0], self.mesh)
        stacked: _T = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
        return spread(stacked, self.mesh, "networks")

    def go_on(self, states: State, first: int, rounds: int) -> tuple[State, Seen]:
        """So many rounds from these states on, the first of them by its number."""
        sizes, way, plan, many = self.sizes, self.way, self.plan, self.many
        return go_on(self.net, self.key, states, self.data, first, sizes, way=way, plan=plan, many=many, rounds=rounds)

    def network(self, k: int, states: State) -> Network:
        """The k-th network at a state."""
        return self.nets[k].with_trained(self._of(states.trained, k))

    def carried(self, k: int, seen: Seen) -> Weights:
        """The k-th network's weights at the end of every round of a chunk, where the plan has them come along."""
        weights: Weights = self._of(seen[CARRIED], k)
        return weights

    def server(self, k: int, states: State) -> PyTree:
        """The state of the server's optimizer for the k-th network, on the host."""
        held: PyTree = jax.tree.map(np.asarray, self._of(states.server, k))
        return held

    def apart(self, seen: Seen) -> list[dict[str, np.ndarray]]:
        """Observations network by network, on the host."""
        held = {name: np.asarray(values) for name, values in seen.items() if name != CARRIED}
        return [self._of(held, k) for k in range(len(self.nets))]

    def _of(self, tree: _T, k: int) -> _T:
        return jax.tree.map(lambda leaf: leaf[k], tree) if self.many else tree
