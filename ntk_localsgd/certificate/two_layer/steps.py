"""The lemmas of an argument as values: a test can leave one out, and see that the certificate is then false."""

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_localsgd.certificate import flow
from ntk_localsgd.certificate.flow import Flow, Predicted
from ntk_localsgd.certificate.model import Problem, RoundModel
from ntk_localsgd.certificate.two_layer import neurons, reach
from ntk_localsgd.certificate.two_layer.neurons import NearKinks

__all__ = ["PROVED", "Steps"]

_Vector: TypeAlias = Float[ndarray, " n"]
_Matrix: TypeAlias = Float[ndarray, "n n"]
_Patterns: TypeAlias = Bool[ndarray, "N n"]


@dataclasses.dataclass(frozen=True)
class Steps:
    """What the path method rests on; ``docs/theory.md`` §5.2 by number.

    ``prediction``: r̂ and its weights (4). ``changes``: E, what switching patterns do to Θ. ``deviation``: how far the
    run may be from the prediction (1). ``chord_ends``: corners of the hull (4). ``switching``: samples that may switch
    (5). ``frozen_patterns``: what the next segment freezes; any choice is sound.
    """

    prediction: Callable[[RoundModel, _Vector, int], Predicted] = flow.predict
    changes: Callable[[_Matrix, float, _Patterns, _Patterns, int], _Matrix] = neurons.gram_changes
    deviation: Callable[[RoundModel, Predicted, _Matrix, float], Flow] = flow.flow
    chord_ends: Callable[[Problem, Predicted, int], Float[ndarray, "3 n"]] = reach.chord_ends
    switching: Callable[..., tuple[Float[ndarray, " p"], Float[ndarray, " p"]]] = reach.switching_shares
    frozen_patterns: Callable[[NearKinks, list[Float[ndarray, " p"]], _Patterns], _Patterns] = reach.arrived_patterns


#: All lemmas as proved.
PROVED = Steps()
