"""``ntk-localsgd certify``: prove that Local GD converges on one's own data, or say what stands in the way."""

import dataclasses
import math
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from rich.table import Table

from ntk_localsgd import certificate, local_sgd
from ntk_localsgd.certificate import Certificate
from ntk_localsgd.cli.inputs import (
    ProblemOptions,
    checked_gram,
    checked_step_size,
    described,
    read_network,
    read_problem,
)
from ntk_localsgd.cli.output import check_folder, finite, new_plot, show, title_of, write_results
from ntk_localsgd.cli.parsing import command
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.config import Checkpoint
from ntk_localsgd.networks import TwoLayerReLU

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Certify"]


@command
@dataclasses.dataclass(frozen=True, kw_only=True)
class Certify(ProblemOptions):
    """Prove that full-batch Local GD on your own data converges to zero loss, from your weights or random ones."""

    method: certificate.Method = "auto"
    """ball: one radius for all neurons, cheap; path: along the predicted path, sharper; auto: ball, then path."""
    rounds: int = 0
    """Train up to this many rounds and certify as soon as it is possible."""
    every: int = 10
    """With rounds: try to certify every this many of them."""
    save: pathlib.Path | None = None
    """Write the network that the certificate speaks of (.npz)."""
    out: pathlib.Path = pathlib.Path("results")
    """Folder that certify-DATA.json and certify-DATA.png are written to."""

    def __call__(self) -> int:
        """Print what is proved, write it and a plot of the bound beside the run; 1 if nothing is proved."""
        check_folder("out folder", self.out)
        if self.save is not None:
            check_folder("folder of save", self.save.absolute().parent)
            if self.save.suffix != ".npz" or self.save.is_dir():
                raise InputError(f"save is {self.save}, needs to name a file that ends in .npz.")
        dataset, split, scales, notes = read_problem(self)
        if scales is not None:
            raise InputError(
                f"inputs have rows of norm {scales.min():.4g} … {scales.max():.4g}, but the proof is for "
                "norm 1: --rows scaled certifies on rows scaled to it."
            )
        net = read_network(self, dataset)
        step_size, largest = checked_step_size(checked_gram(net, dataset).matrix, split, self.step_size)
        # 1/λ_max itself is refused: it cannot be told from a larger number.
        step_size = min(step_size, largest * (1 - 1e-7))
        config = local_sgd.LocalSGD(step_size, self.local_steps, self.rounds)
        net, losses, proof = self._train(net, dataset, split, config)
        content = {
            **described(self, dataset, split, net),
            "step_size": step_size,
            "local_steps": self.local_steps,
            "trained_rounds": len(losses) - 1,
            "loss": losses.tolist(),
            "notes": notes,
        }
        kept = [] if self.save is None else [_saved(net, self.save)]
        if proof is None:
            try:
                proof = certificate.certify(net, dataset, split, config, method=self.method)
            except InputError as error:
                if len(losses) == 1:
                    raise
                kept = kept or [_saved(net, self._reached)]
                paths = write_results(self.out, "certify", self.data, content | {"certificate": None}, None)
                where = " and ".join(str(path) for path in (*kept, *paths))
                raise InputError(
                    f"{str(error).rstrip('.')}; the {len(losses) - 1} rounds are kept in {where}."
                ) from error
        content["certificate"] = _plain(proof)
        figure = plot_run(proof, net, dataset, split, config, losses)
        paths = write_results(self.out, "certify", self.data, content, figure)
        show(_summary(title_of(dataset, net), proof, split, step_size, largest, losses), notes, (*paths, *kept))
        return 0 if proof.certified else 1

    @property
    def _reached(self) -> pathlib.Path:
        """Where a network goes that was trained, and whose command did not come to its end."""
        return self.save or self.out / f"certify-{self.data.stem}-network.npz"

    def _train(
        self, net: TwoLayerReLU, dataset: Dataset, split: Clients, config: local_sgd.LocalSGD
    ) -> tuple[TwoLayerReLU, Float[ndarray, " rounds"], Certificate | None]:
        """The network after the rounds, the losses on the way there, and the certificate that ended them, if any."""
        if not self.rounds:
            losses = local_sgd.run(net, dataset, split, config).trajectory.loss.values
            return net, np.asarray(losses, np.float64), None
        stop = _Remembering(certificate.until_certified(self.every, method=self.method))
        try:
            run = local_sgd.run(net, dataset, split, config, stop=stop, progress=True)
        except KeyboardInterrupt as interrupt:
            if stop.last is None:
                raise
            path = _saved(net.with_trained(stop.last.network.trained), self._reached)
            raise KeyboardInterrupt(f"the network after {stop.last.round} rounds is in {path}") from interrupt
        proof = stop.stop.certificate
        return (
            net.with_trained(run.network.trained),
            np.asarray(run.trajectory.loss.values, np.float64),
            proof if proof is not None and proof.certified else None,
        )


@dataclasses.dataclass
class _Remembering:
    """A stop that keeps the last checkpoint, for whoever interrupts the run."""

    stop: certificate.UntilCertified
    last: Checkpoint | None = None

    @property
    def every(self) -> int:
        return self.stop.every

    def __call__(self, checkpoint: Checkpoint) -> bool:
        self.last = checkpoint
        return self.stop(checkpoint)


def _saved(net: TwoLayerReLU, path: pathlib.Path) -> pathlib.Path:
    """Write the network, into a folder that is made if missing."""
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        net.save(path)
    except OSError as error:
        raise InputError(f"network {path} cannot be written ({error.strerror}).") from error
    return path


def _plain(proof: Certificate) -> dict[str, Any]:
    """Finite plain values only: what is unknown or infinite becomes null."""
    values = {name: getattr(proof, name) for name in proof.__dataclass_fields__ if name != "switching"}
    return finite(values) | {"switching_pairs": len(proof.switching)}


def _summary(
    title: str, proof: Certificate, split: Clients, step_size: float, largest: float, losses: Float[ndarray, " rounds"]
) -> Table:
    table = Table("quantity", "value", title=title)
    table.add_row("clients K", f"{split.num_clients}")
    table.add_row("step size η, largest with proof", f"{step_size:.6g}, {largest:.6g}")
    if len(losses) > 1:
        table.add_row("trained rounds, loss ratio", f"{len(losses) - 1}, {losses[-1] / losses[0]:.3g}")
    table.add_row("residual norm ‖r(0)‖ here", f"{proof.residual_norm:.6g}")
    table.add_row(
        "converges to zero loss", f"proved, by the {proof.method} method" if proof.certified else "not proved"
    )
    if proof.certified:
        table.add_row("rate per round", f"{proof.rate:.8g}")
        table.add_row("constant", f"{proof.constant:.6g}")
        table.add_row("no neuron moves by more than", f"{proof.radius:.6g}")
        table.add_row("pairs that may switch", f"{len(proof.switching)}")
        return table
    table.add_row("obstacle", proof.explanation)
    if proof.residual_estimate > 0:
        table.add_row("roughly the residual norm that would do", f"{proof.residual_estimate:.2g}")
        table.add_row("or the width", f"{proof.width_estimate:.1g}")
    return table


def plot_run(
    proof: Certificate, net: TwoLayerReLU, dataset: Dataset, split: Clients, config: local_sgd.LocalSGD, losses: ndarray
) -> "Figure":
    """The loss so far and ahead, and the certified bound beside it."""
    from matplotlib.ticker import MaxNLocator

    ahead = 40
    if proof.certified and proof.rate > 0:  # far enough to fall a thousandfold
        ahead = int(np.clip(math.log(1e-3) / (2 * math.log(proof.rate)), 10, 400))
    run = local_sgd.run(net, dataset, split, dataclasses.replace(config, num_rounds=ahead))
    coming, here = np.asarray(run.trajectory.loss.values), len(losses) - 1
    figure = new_plot()
    axes = figure.subplots()
    if here:
        axes.plot(np.arange(here + 1), losses, "-", label="trained")
    axes.plot(here + np.arange(len(coming)), coming, "--" if here else "-", label="run from here")
    if proof.certified:
        t = np.arange(ahead + 1)
        bound = (proof.constant * proof.rate**t * proof.residual_norm) ** 2 / 2
        axes.plot(here + t, bound, ":", color="black", label="certified bound")
    axes.set(yscale="log", xlabel="round", ylabel="loss", title=dataset.name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure
