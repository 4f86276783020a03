"""``ntk-localsgd``: the Gram matrix of the user's own data, predicted training, and any bound at numbers."""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

import ntk_localsgd
from ntk_localsgd import datasets, kernels
from ntk_localsgd.bounds import BOUNDS, SYMBOLS
from ntk_localsgd.command_line import execute
from ntk_localsgd.commands.certify import Certify
from ntk_localsgd.commands.predict import Predict
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import TwoLayerReLU

__all__ = ["main"]


@dataclasses.dataclass(frozen=True)
class Gram:
    """Separation, smallest eigenvalue and condition of the Gram matrix of your own data."""

    data: tyro.conf.Positional[pathlib.Path]
    """A .npz (inputs, targets) or .csv file (a column target, the others are inputs)."""
    weights: pathlib.Path | None = None
    """A network (.npz with weights [m d] and signs [m]): also its empirical Gram matrix H(W)."""

    def __call__(self) -> int:
        """Print the table."""
        data, _ = datasets.load(self.data)
        n, d = data.inputs.shape
        table = Table("quantity", "value", title=f"{data.name}: n = {n}, d = {d}")
        if n > 1:
            for name, pair in (
                ("φ, closest rows", data.closest_pair),
                ("closest to opposite", data.most_opposite_pair),
            ):
                table.add_row(name, f"{pair.distance:.6g}  (rows {pair.rows[0]} and {pair.rows[1]})")
        gram, error = kernels.infinite_gram(data.inputs), kernels.infinite_gram_error(n, d)
        _add_spectrum(table, "H^∞", gram, error)
        if self.weights is not None:
            net = TwoLayerReLU.load(self.weights)
            if net.input_dim != d:
                raise InputError(f"weights take {net.input_dim} inputs, but {self.data} has {d}.")
            empirical = np.asarray(kernels.empirical_gram(net, data.inputs), np.float64)
            _add_spectrum(table, f"H(W), m = {net.width}", empirical, kernels.empirical_gram_error(net, data.inputs))
            table.add_row("‖H(W) − H^∞‖₂", f"{np.linalg.norm(empirical - gram, 2):.6g}")
        Console().print(table)
        return 0


@dataclasses.dataclass(frozen=True)
class Bounds:
    """A theorem's bound at numbers, and the smallest width or largest step size that satisfies it."""

    claim: tyro.conf.Positional[str]
    """Id of the claim, such as K4b or C1."""
    n: float | None = None
    """Number of samples."""
    m: float | None = None
    """Width."""
    eta: float | None = None
    """Step size."""
    tau: float | None = None
    """Local steps."""
    k: float | None = None
    """Local or gradient step."""
    delta: float | None = None
    """Failure probability."""
    lambda0: float | None = None
    """Smallest eigenvalue of H^∞."""
    C: float | None = None
    """Largest |y_i|."""
    R: float | None = None
    """Radius of the ball around initialization, or threshold of |w·x|."""
    phi: float | None = None
    """Separation (K3: two-sided)."""
    spectral: float | None = None
    """Spectral norm of all rows."""
    chi: float | None = None
    """Spectral norm of a client's rows."""
    residual: float | None = None
    """‖y − f‖ where the bound starts."""
    distance: float | None = None
    """‖W − W'‖_F."""
    flips: float | None = None
    """Largest share of neurons that flip on a sample."""
    L: float | None = None
    """Number of trained layers."""
    o: float | None = None
    """Number of outputs."""
    K: float | None = None
    """Number of clients."""
    omega: float | None = None
    """Radius in the spectral norm of a layer."""
    loss: float | None = None
    """Loss where the bound starts."""
    rounds: float | None = None
    """Number of rounds."""
    kappa: float | None = None
    """κ = λ_max(H^∞)/λ0."""
    eta_g: float | None = None
    """Server step size η_g."""
    target: float | None = None
    """Solve for the smallest width that puts the bound at this value."""

    def __call__(self) -> int:
        """Print what the given numbers allow to compute."""
        ids = [c for c in BOUNDS if c == self.claim] or [c for c in BOUNDS if c.startswith(self.claim)]
        if not ids:
            raise InputError(f"claim {self.claim!r} is unknown, needs one out of {', '.join(BOUNDS)}.")
        numbers = {name: value for name in SYMBOLS if (value := getattr(self, name)) is not None}
        for claim in ids:
            self._show(claim, numbers)
        return 0

    def _show(self, claim: str, numbers: dict[str, float]) -> None:
        bound = BOUNDS[claim]
        table = Table("", "", title=f"{claim} [{bound.letter}]: {bound.source}", show_header=False)
        table.add_row(
            "statement", f"{bound.quantity} {bound.relation.replace('<=', '≤').replace('>=', '≥')} {bound.expression}"
        )
        if bound.width is not None:
            table.add_row("premise", f"m ≥ {bound.width}")
        if bound.step is not None:
            table.add_row("premise", f"eta ≤ {bound.step}")
        if bound.least_samples > 1:
            table.add_row("premise", f"n ≥ {bound.least_samples}")
        results = {
            "bound": lambda: f"{bound.evaluate(**numbers):.6g}",
            "premise met": lambda: "yes" if bound.premise_met(**numbers) else "no",
            "smallest width": lambda: f"{bound.smallest_width(target=self.target, **numbers):.6g}",
            "largest step size": lambda: f"{bound.largest_step(**numbers):.6g}",
        }
        if bound.width is None and bound.step is None:
            del results["premise met"]
        if bound.width is None and (self.target is None or "m" not in bound.needs):
            del results["smallest width"]
        if bound.step is None:
            del results["largest step size"]
        found, missing = 0, ""
        for name, compute in results.items():
            try:
                table.add_row(name, compute())
                found += 1
            except InputError as error:
                if "needs a number" not in str(error):
                    raise
                missing = missing or str(error)
        if not found:
            raise InputError(missing)
        Console().print(table)


@dataclasses.dataclass(frozen=True)
class Version:
    """Print the version."""

    def __call__(self) -> int:
        """Print it."""
        print(ntk_localsgd.__version__)
        return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    jax.config.update("jax_enable_x64", True)  # spectra are float64; a program, unlike the library, may say so
    if argv[:1] == ["--version"]:
        return Version()()
    commands = (
        Annotated[Gram, tyro.conf.subcommand("gram")]
        | Annotated[Predict, tyro.conf.subcommand("predict")]
        | Annotated[Certify, tyro.conf.subcommand("certify")]
        | Annotated[Bounds, tyro.conf.subcommand("bounds")]
        | Annotated[Version, tyro.conf.subcommand("version")]
    )
    description = (
        "Your own data: Gram matrix, predicted training, proof of convergence; the theory's bounds at your numbers."
    )
    return execute(commands, prog="ntk-localsgd", description=description, argv=argv)


def _add_spectrum(table: Table, name: str, gram: np.ndarray, error: float) -> None:
    smallest = kernels.smallest_eigenvalue(gram, error=error)
    table.add_row(f"λ_min({name})", f"[{smallest.lower!r}, {smallest.upper!r}]")
    largest = float(np.linalg.eigvalsh(gram)[-1])
    condition = f"{largest / smallest.lower:.6g}" if smallest.lower > 0 else "infinite, as far as float64 can tell"
    table.add_row(f"condition of {name}, at most", condition)
