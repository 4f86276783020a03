"""``ntk-localsgd interpolate``: a network with fewer neurons than samples, and a proof that it fits them exactly."""

import dataclasses
import pathlib
from typing import Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from ntk_localsgd import interpolation, seeds
from ntk_localsgd.cli.inputs import DataOptions, read_data, require_memory, scaling_note
from ntk_localsgd.cli.output import check_folder, show, write_results
from ntk_localsgd.cli.parsing import command
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.evidence import finite
from ntk_localsgd.interpolation import Proof, Shallow
from ntk_localsgd.networks import Smooth
from ntk_localsgd.scalars import whole_number

__all__ = ["Interpolate"]


@command
@dataclasses.dataclass(frozen=True, kw_only=True)
class Interpolate(DataOptions):
    """Find a narrow smooth network that fits your own data, and prove that one next to it fits them exactly."""

    width: int | None = None
    """Neurons m; left out: ⌈2n/d⌉, with which there is such a network by the theorem."""
    activation: Literal["tanh", "softplus", "gelu"] = "tanh"
    """σ; both layers are trained, f(x) = Σ_r v_r σ(w_r·x)."""
    attempts: int = 5
    """Random starts to try."""
    seed: int = 0
    """Decides them."""
    out: pathlib.Path = pathlib.Path("results")
    """Folder that interpolate-DATA.json and the network, interpolate-DATA.npz, are written to."""

    def __call__(self) -> int:
        """Print what is proved, write the network and its proof; 1 if nothing is proved."""
        check_folder("out folder", self.out)
        dataset, _, notes = read_data(self)
        notes += scaling_note(dataset)
        width = self._width(dataset)
        n, p = dataset.num_samples, width * (dataset.input_dim + 1)
        require_memory(f"the Jacobian of {n} rows and {p} weights", 6.0 * n * p)
        generator = seeds.generator(whole_number("seed", self.seed, least=0, most=2**63 - 1), "interpolate")
        with Console(stderr=True).status(f"fitting {n} rows with {p} weights, at most {self.attempts} times"):
            net, proof = interpolation.interpolate(
                dataset.inputs,
                dataset.targets,
                width,
                generator,
                activation=Smooth(self.activation),
                attempts=self.attempts,
            )
        content = {
            "data": {"name": dataset.name, "num_samples": n, "input_dim": dataset.input_dim},
            "width": width,
            "activation": self.activation,
            "seed": self.seed,
            "proof": finite(_numbers(proof)),
            "notes": notes,
        }
        paths = write_results(self.out, "interpolate", self.data, content, None)
        kept = self.out / f"interpolate-{self.data.stem}.npz"
        np.savez(
            kept,
            weights=net.weights,
            readout=net.readout,
            activation=self.activation,
            inputs=dataset.inputs,
            targets=dataset.targets,
            **_numbers(proof),  # type: ignore[arg-type]
        )
        notes += [] if proof.certified else [self._advice(net.width)]
        show(_summary(dataset, net, proof), notes, (*paths, kept))
        return 0 if proof.certified else 1

    def _advice(self, width: int) -> str:
        """What may lead to a proof; rows that are nearly alike make J nearly singular, and columns of one size help."""
        standardise = "" if self.standardise else ", --standardise if columns differ in size"
        return f"not proved: try --width {2 * width}, another --seed, more --attempts{standardise}."

    def _width(self, dataset: Dataset) -> int:
        """The width asked for, or the theorem's; refused where there are fewer weights than samples."""
        n, d = dataset.num_samples, dataset.input_dim
        if dataset.targets.ndim != 1:
            raise InputError(f"targets of {self.data} have shape {dataset.targets.shape}, need one number a row.")
        if self.width is None:
            return interpolation.least_width(n, d)
        width = whole_number("width", self.width)
        if width * (d + 1) < n:
            raise InputError(
                f"width is {width}, which with {d} inputs makes {width * (d + 1)} weights for {n} samples: needs to be "
                f"at least {-(-n // (d + 1))}, since fewer weights than samples fit no general targets."
            )
        return width


def _numbers(proof: Proof) -> dict[str, float | bool]:
    return dataclasses.asdict(proof) | {"radius": proof.radius, "rank_radius": proof.rank_radius}


def _summary(dataset: Dataset, net: Shallow, proof: Proof) -> Table:
    n, d = dataset.num_samples, dataset.input_dim
    table = Table("quantity", "value", title=f"{dataset.name}: n = {n}, d = {d}, m = {net.width}")
    table.add_row("weights m(d + 1)", f"{net.parameters.size}")
    table.add_row("interpolates exactly", "proved" if proof.certified else "not proved")
    if proof.certified:
        table.add_row("‖θ − written weights‖ of an interpolant, at most", f"{proof.radius:.4g}")
    else:
        table.add_row("obstacle", str(proof).removeprefix("not proved: "))
    table.add_row("‖r‖ of the written weights, at most", f"{proof.residual:.4g}")
    table.add_row("α = ‖A‖‖r‖, ω, ε", f"{proof.alpha:.4g}, {proof.omega:.4g}, {proof.defect:.4g}")
    table.add_row("σ_min(J) of the written weights, at least", f"{proof.smallest_singular:.6g}")
    table.add_row("no spurious stationary point within", f"{proof.rank_radius:.4g}")
    return table
