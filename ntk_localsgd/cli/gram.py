"""``ntk-localsgd gram``: separation, smallest eigenvalue and condition of the Gram matrix of one's own data."""

import dataclasses
import math
import pathlib

import numpy as np
from rich.table import Table

from ntk_localsgd import kernels
from ntk_localsgd.cli.inputs import DataOptions, read_data, require_memory, scaling_note, uneven_columns
from ntk_localsgd.cli.output import show
from ntk_localsgd.cli.parsing import command
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import TwoLayerReLU

__all__ = ["Gram"]

# Condition from which standardised columns are proposed: the slowest direction then takes a million local steps.
_ILL = 1e6


@command
@dataclasses.dataclass(frozen=True, kw_only=True)
class Gram(DataOptions):
    """Separation, smallest eigenvalue and condition of the Gram matrix of your own data, and how it generalizes."""

    weights: pathlib.Path | None = None
    """A network (.npz with weights [m d] and signs [m]): also its empirical Gram matrix H(W)."""

    def __call__(self) -> int:
        """Print the table."""
        data, _, notes = read_data(self)
        n, d = data.inputs.shape
        require_memory(f"the Gram matrix of {n} rows", 6.0 * n**2)
        table = Table("quantity", "value", title=f"{data.name}: n = {n}, d = {d}")
        if n > 1:
            pairs = {"φ, closest rows": data.closest_pair, "closest to opposite": data.most_opposite_pair}
            for name, pair in pairs.items():
                i, j = map(data.number_of, pair.rows)
                table.add_row(name, f"{pair.distance:.6g}  (rows {i} and {j}, from 1)")
        gram, error = kernels.infinite_gram(data.inputs), kernels.infinite_gram_error(n, d)
        condition = _add_spectrum(table, "H^∞", gram, error)
        if condition > _ILL and self.weights is None and (hint := uneven_columns(self, data)):
            notes.append(f"H^∞ has a condition above {_ILL:g}{hint}")
        if data.targets.ndim == 1:
            _add_generalization(table, gram, data.targets, error)
        if self.weights is not None:
            net = TwoLayerReLU.load(self.weights)
            if net.input_dim != d:
                raise InputError(f"weights take {net.input_dim} inputs, but {self.data} has {d}.")
            empirical = np.asarray(kernels.empirical_gram(net, data.inputs), np.float64)
            _add_spectrum(table, f"H(W), m = {net.width}", empirical, kernels.empirical_gram_error(net, data.inputs))
            table.add_row("‖H(W) − H^∞‖₂", f"{kernels.spectral_norm(empirical - gram).upper:.6g}")
        show(table, notes + scaling_note(data), ())
        return 0


def _add_spectrum(table: Table, name: str, gram: np.ndarray, error: float) -> float:
    """Rows of the table; a bound on the condition."""
    smallest = kernels.smallest_eigenvalue(gram, error=error)
    table.add_row(f"λ_min({name})", f"[{smallest.lower!r}, {smallest.upper!r}]")
    largest = kernels.spectral_norm(gram).upper + error
    condition = largest / smallest.lower if smallest.lower > 0 else math.inf
    shown = f"{condition:.6g}" if condition < math.inf else "infinite, as far as float64 can tell"
    table.add_row(f"condition of {name}, at most", shown)
    return condition


def _add_generalization(table: Table, gram: np.ndarray, targets: np.ndarray, error: float) -> None:
    """yᵀ(H^∞)⁻¹y, enclosed, and the leading term of F3; nothing where H^∞ cannot be told from a singular matrix."""
    try:
        form = kernels.inverse_quadratic_form(gram, targets, error=error)
    except InputError:
        return
    table.add_row("yᵀ(H^∞)⁻¹y", f"[{form.lower!r}, {form.upper!r}]")
    leading = math.sqrt(2 * form.upper / len(targets))
    bound = f"{leading:.6g} + O(√(log(n/(λ0 δ))/n))" + (", which says nothing" if leading >= 1 else "")
    table.add_row("expected 1-Lipschitz loss in [0, 1], at most (F3 [R])", bound)
