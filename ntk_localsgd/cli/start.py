"""What commands on the user's own data begin with: the network, its Gram matrix, a step size, the lazy scale."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import kernels, local_sgd, networks
from ntk_localsgd.cli.inputs import (
    ActivationName,
    ProblemOptions,
    purpose_key,
    read_problem,
    require_memory,
    uneven_columns,
)
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError, rounded_down
from ntk_localsgd.networks import LeakyReLU, Stack, TwoLayerReLU
from ntk_localsgd.scalars import positive_number

__all__ = ["Gram", "Start", "StepSize", "checked_step_size", "measured_gram", "read_network", "read_start"]

# Neurons of a network that nothing else decides: of two layers, and of each layer of a deep one.
_WIDTH, _DEEP_WIDTH = 4096, 256

# An eigenvalue that equals 1/η but for rounding does not exceed it: n roundings of 1e-16 each, n up to thousands.
_ROUNDING = 1e-12

_ACTIVATIONS: dict[ActivationName, networks.Activation] = {
    "relu": networks.RELU,
    "leaky_relu": LeakyReLU(0.01),
    "tanh": networks.TANH,
    "softplus": networks.SOFTPLUS,
    "gelu": networks.GELU,
}


class Gram(NamedTuple):
    """Θ(W) in float64, and a rigorous enclosure of its smallest eigenvalue."""

    matrix: Float[ndarray, "n n"]
    smallest: kernels.Enclosure


class StepSize(NamedTuple):
    """η, and the largest one for which the theory proves convergence, 1/max_c λ_max(Θ_cc)."""

    value: float
    allowed: float


@dataclasses.dataclass(frozen=True)
class Start:
    """Data, clients, network g and Θ_g at the start; f = κ(g(W) − g(W(0))) where there is a lazy scale κ, g elsewhere.

    With a scale, ``dataset`` holds the targets on which g moves as f does on the user's (`local_sgd.lazy_targets`).

    Attributes
    ----------
    norms
        To put back on the rows, where they are as the file has them.
    step_size
        η of f; of g it is κ²η.
    factor
        κ², by which losses, Gram matrices and squared residuals of f exceed those of g; 1 without a scale.
    notes
        What the user should know.
    held_out
        Rows that nobody holds.
    client_names
        As the file has them, or numbers from 0.
    """

    dataset: Dataset
    clients: Clients
    net: Stack
    norms: Float[ndarray, " n"] | None
    gram: Gram
    step_size: StepSize
    factor: float
    notes: list[str]
    held_out: Dataset | None = None
    client_names: tuple[str, ...] = ()

    @property
    def residual(self) -> Float[ndarray, " n"]:
        """g(W(0)) − its targets."""
        outputs = np.asarray(self.net(self.dataset.inputs), np.float64)
        return (outputs if self.norms is None else self.norms * outputs) - self.dataset.targets

    @property
    def title(self) -> str:
        """Name and sizes, as the title of a table."""
        data, net = self.dataset, self.net
        depth = f", L = {net.depth}" if net.input_weights is not None else ""
        return f"{data.name}: n = {data.num_samples}, d = {data.input_dim}, m = {net.width}{depth}"

    def config(self, options: ProblemOptions, rounds: int, batch_size: int | None = None) -> local_sgd.LocalSGD:
        """Local SGD of g."""
        return local_sgd.LocalSGD(self.factor * self.step_size.value, options.local_steps, rounds, batch_size)

    def described(self, options: ProblemOptions) -> dict[str, object]:
        """What files of results say of data, clients and network."""
        data = self.dataset
        return {
            "data": {"name": data.name, "num_samples": data.num_samples, "input_dim": data.input_dim},
            "client_sizes": list(self.clients.sizes),
            "width": self.net.width,
            "depth": self.net.depth,
            "scale": options.scale,
            "weights": None if options.weights is None else options.weights.name,
            "seed": options.seed,
        }


def read_start(
    options: ProblemOptions,
    *,
    proved: bool = True,
    hold_out: float | None = None,
    counted: Callable[[Clients], Float[ndarray, " K"] | None] = lambda _: None,
) -> Start:
    """All that the options name.

    ``proved``: refuse, and do not only note, where the theory says nothing; ``hold_out``: the share of rows that nobody
    gets; ``counted``: by how much less than a sum a client's loss is, from the clients.

    Raises
    ------
    InputError
        As `read_problem`, `read_network` and `checked_step_size`; where Θ cannot be told from a singular matrix; for a
        lazy scale, or an activation that is not homogeneous, on rows that are not of norm 1.
    """
    dataset, split, norms, notes, held, names = read_problem(options, hold_out=hold_out)
    if held is not None and options.scale is not None:
        raise InputError("hold_out is set, but f = κ(g − g(W(0))) is evaluated where it is trained: leave out --scale.")
    net = read_network(options, dataset)
    if norms is not None and (options.scale is not None or not isinstance(net.activation, LeakyReLU)):
        why = "its activation" if options.scale is None else "a lazy scale"
        raise InputError(f"inputs have rows of norm {norms.min():.4g} … {norms.max():.4g}, but {why} needs norm 1: "
                         "--rows scaled scales them.")  # fmt: skip
    factor = 1.0
    if options.scale is not None:
        dataset, factor = local_sgd.lazy_targets(net, dataset, scale=options.scale), float(options.scale) ** 2
    gram, trouble = measured_gram(net, dataset, norms)
    if trouble is not None:
        trouble = trouble.rstrip(".")
        if options.weights is None and (hint := uneven_columns(options, dataset)):
            trouble = trouble.removesuffix(", one of them must go") + hint
        if proved:
            raise InputError(f"{trouble}.")
    step_size = checked_step_size(factor * gram.matrix, split, options.step_size, proved=proved, counted=counted(split))
    notes += [] if trouble is None else [trouble]
    if step_size.value > step_size.allowed * (1 + _ROUNDING):
        notes.append(f"step size {step_size.value:g} is above {rounded_down(step_size.allowed)}, 1/λ_max of a client, "
                     "beyond which no convergence is proved")  # fmt: skip
    return Start(dataset, split, net, norms, gram, step_size, factor, notes, held, names)


def read_network(options: ProblemOptions, dataset: Dataset) -> Stack:
    """The network to start from, in float64: the user's own weights, or random ones of the width, depth and seed.

    Raises
    ------
    InputError
        If the file cannot be read, its inputs are not the data's, it has several outputs, or both weights and a width,
        depth or activation are given.
    """
    if options.weights is None:
        return _random_network(options, dataset.input_dim)
    for name in ("width", "depth", "activation", "coupled"):
        if value := getattr(options, name):
            raise InputError(f"{name} is {value}, but weights {options.weights} have one: leave one of them out.")
    net = networks.load_network(options.weights)
    if net.input_dim != dataset.input_dim:
        raise InputError(f"weights take {net.input_dim} inputs, but {options.data} has {dataset.input_dim}.")
    if net.output_dim != 1:
        raise InputError(f"weights {options.weights} have {net.output_dim} outputs, need one.")
    wide: Stack = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), net)
    return wide


def _random_network(options: ProblemOptions, input_dim: int) -> Stack:
    default = _WIDTH if options.depth is None else _DEEP_WIDTH
    width = default if options.width is None else options.width
    # The weights once more while their blocks are joined, and once in the Gram matrix's factor.
    numbers = width * input_dim + (options.depth or 0) * float(width) ** 2
    require_memory(f"a network of {width} neurons and {input_dim} inputs", 3.0 * numbers)
    key, sigma = purpose_key(options.seed, 1), _ACTIVATIONS[options.activation or "relu"]
    if options.depth is not None:
        if options.coupled:
            raise InputError("coupled is set, but deep networks have no coupled neurons: leave out --depth.")
        net = networks.deep(
            key, width=width, depth=options.depth, input_dim=input_dim, activation=sigma, dtype=np.float64
        )
        if sigma != networks.RELU:
            return net
        return networks.DeepReLU(net.input_weights, net.hidden_weights, net.output_weights)
    if sigma == networks.RELU:
        return TwoLayerReLU.init(key, width=width, input_dim=input_dim, coupled=options.coupled, dtype=np.float64)
    return networks.two_layer(
        key, width=width, input_dim=input_dim, activation=sigma, coupled=options.coupled, dtype=np.float64
    )


def measured_gram(net: Stack, dataset: Dataset, scales: Float[ndarray, " n"] | None = None) -> tuple[Gram, str | None]:
    """Θ(W), of rows of norms ``scales`` if given, and why it cannot be told from a singular matrix, where it cannot.

    σ is positively homogeneous, so that Θ of the rows s_i x_i is s_i s_j Θ_ij. The sentence names the two rows that are
    nearly parallel, if a pair alone explains it; otherwise it asks for a wider network: the larger
    of twice the width and, as Θ of two layers is a sum of m terms of rank d at most, 2n/d.
    """
    n, s = dataset.num_samples, np.ones(dataset.num_samples) if scales is None else scales
    require_memory(f"the Gram matrix of {n} rows", 6.0 * n**2)
    unit = np.asarray(kernels.empirical_gram(net, dataset.inputs), np.float64)
    matrix, error = unit * np.outer(s, s), kernels.empirical_gram_error(net, dataset.inputs)
    if scales is not None:
        # Norms of d numbers are off by (d + 8)u each, and two products by u each.
        rounding = (2 * dataset.input_dim + 24) * np.finfo(np.float64).eps * float(np.linalg.norm(unit))
        error = float(s.max() ** 2 * (error + rounding))
    smallest = kernels.smallest_eigenvalue(matrix, error=error)
    gram = Gram(matrix, smallest)
    if smallest.lower > 0:
        return gram, None
    about = f"Gram matrix at m = {net.width} is singular as far as float64 can tell"
    if n == 1:
        return gram, f"{about}: no neuron is active on the one row."
    pair = min(dataset.closest_pair, dataset.most_opposite_pair)
    i, j = pair.rows
    sign, named = 1 if pair is dataset.closest_pair else -1, [dataset.number_of(row) for row in pair.rows]
    # λ_min is at most the quotient vᵀΘv/vᵀv of v = e_i/s_i − sign·e_j/s_j; the pair explains what no enclosure can
    # exclude, unless no neuron is active on one of the two.
    quotient = (unit[i, i] + unit[j, j] - 2 * sign * unit[i, j]) / (s[i] ** -2 + s[j] ** -2)
    if min(unit[i, i], unit[j, j]) > 0 and quotient <= 2 * (smallest.upper - smallest.lower):
        return gram, (
            f"{about}: inputs rows {named[0]} and {named[1]} (counted from 1) are nearly parallel (distance "
            f"{pair.distance:.3g}), one of them must go."
        )
    least = max(2 * net.width, math.ceil(2 * n / dataset.input_dim) if net.input_weights is None else 0)
    return gram, f"{about}, although no two rows are nearly parallel: a wider network is needed, try m = {least}."


def checked_step_size(
    gram: Float[ndarray, "n n"],
    split: Clients,
    step_size: float | None,
    *,
    proved: bool = True,
    counted: Float[ndarray, " K"] | None = None,
) -> StepSize:
    """η, refused above 1/max_c λ_max(Θ_cc) where it is to be ``proved``; None gives 0.9 of that.

    ``counted``: the numbers b_c of samples that losses are means over, which divide λ_max(Θ_cc).

    Raises
    ------
    InputError
        Says which client it is that limits the step size, what happens there, and the largest η allowed.
    """
    largest = [float(scipy.linalg.eigvalsh(gram[np.ix_(s, s)])[-1]) for s in split.indices]
    largest = largest if counted is None else (np.array(largest) / counted).tolist()
    client = int(np.argmax(largest))
    allowed = 1 / largest[client]
    if step_size is None:
        return StepSize(0.9 * allowed, allowed)
    step_size = positive_number("step_size", step_size)
    if proved and step_size > allowed * (1 + _ROUNDING):
        trouble = "its local steps diverge" if step_size >= 2 * allowed else "no convergence is proved"
        raise InputError(
            f"step_size is {step_size:g}, above 1/λ_max of client {client} (counted from 0), where {trouble}: needs "
            f"to be at most {rounded_down(allowed)}."
        )
    return StepSize(step_size, allowed)
