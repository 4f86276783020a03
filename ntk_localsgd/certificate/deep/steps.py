"""The lemmas of the deep argument as values: a test can leave one out, and see that the certificate is then false."""

import dataclasses
from collections.abc import Callable

from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_localsgd.certificate.deep import backward, forward, free, kernel, path, state
from ntk_localsgd.certificate.deep.frozen import Frozen

__all__ = ["PROVED", "DeepSteps"]

_Triples = Float[ndarray, "L n m"]


@dataclasses.dataclass(frozen=True)
class DeepSteps:
    """What the argument rests on; ``docs/theory.md`` §5.5 by number.

    ``uncertain``: triples that may switch (1). ``hidden``: changes of inner products of hidden layers (2).
    ``moved_rest``, ``cross``: moved weights beyond first order, and products of two changes (3). ``views``: the paths
    that a client sees, ``rest``: E without free triples, ``weigh``: rate and weights from both (5). ``switch_pushes``:
    what switches push (6). ``frozen``: the frozen network with its derivatives.
    """

    uncertain: Callable[[Frozen, _Triples, _Triples], Bool[ndarray, "L n m"]] = state.uncertain_triples
    hidden: Callable[..., Float[ndarray, "L n n"]] = kernel.hidden_changes
    moved_rest: Callable[..., Float[ndarray, "n m"]] = backward.moved_rest
    cross: Callable[..., tuple[Float[ndarray, "n n"], Float[ndarray, "n m"], Bool[ndarray, "n n"]]] = (
        backward.cross_products
    )
    views: Callable[..., list[Float[ndarray, "R n"]]] = path.view_points
    weigh: Callable[[path.Path, Float[ndarray, "n n"], Float[ndarray, "n n"] | None], path.Weighing] = path.Path.weigh
    rest: Callable[..., Float[ndarray, "n n"]] = free.FreeTriples.rest
    switch_pushes: Callable[..., _Triples] = forward.switch_pushes
    frozen: Callable[..., Frozen] = Frozen


#: All lemmas as proved.
PROVED = DeepSteps()
