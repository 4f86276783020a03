"""How long a user waits for a command, from its start to its end: imports and compilation are part of it."""

from functools import partial

import jax
import numpy as np

from benchmarks.cases import OURS, Case, Route, Target, Work
from ntk_localsgd import datasets


def waiting(smoke: bool) -> Work:
    """The first thing that a user tries on data of their own."""
    n, dim = (8, 4) if smoke else (200, 64)
    case = Case(f"gram, n = {n}, d = {dim}", "gram_command", partial(stored_data, n, dim), {}, (Route(OURS),))
    title = "`ntk-localsgd gram`, the whole command, nothing compiled before"
    return Work("waiting", title, (case,), (Target(case.label, "seconds", 2.5),))


def stored_data(n: int, dim: int) -> dict[str, np.ndarray]:
    """What a user's file holds."""
    data = datasets.sphere(jax.random.key(0), n, dim)
    return {"inputs": data.inputs, "targets": data.targets}
