"""``ntk-localsgd diagnose``: what the kernel says about one's own setting, and what to change first."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from numpy import ndarray
from rich.console import Console
from rich.table import Table

from ntk_localsgd import clients, conventions, diagnosis, prediction
from ntk_localsgd.cli.inputs import ProblemOptions, purpose_key
from ntk_localsgd.cli.output import check_folder, new_plot, show, shown_rounds, write_results
from ntk_localsgd.cli.parsing import command
from ntk_localsgd.cli.start import Start, read_start
from ntk_localsgd.clients import Clients
from ntk_localsgd.errors import InputError, rounded_down
from ntk_localsgd.evidence import finite
from ntk_localsgd.local_sgd import LocalSGD, epoch_steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Change", "Diagnose", "changes"]

# Decisive samples, and clients, that are listed.
_LISTED = 8

# A diverging loss is drawn up to this many times its start.
_MOST_GROWTH = 1e6

# A change is worth naming where it saves this share of the rounds.
_WORTH = 0.05


class Change(NamedTuple):
    """What could be changed, and the rounds for a tenth of the loss then."""

    what: str
    rounds: float


@command
@dataclasses.dataclass(frozen=True, kw_only=True)
class Diagnose(ProblemOptions):
    """Say what step size, local steps, clients and samples do to Local (S)GD on your own data, without training."""

    rounds: int = 100
    """Rounds R of the predicted curves."""
    mean_loss: bool = False
    """Losses are means over a client's samples and not sums."""
    client_weights: Literal["uniform", "samples"] = "uniform"
    """Of the average: 1/K each, or n_c/n."""
    batch_size: int | None = None
    """Batches of b samples, for the tables of conventions; all else is about full batches."""
    epochs: int | None = None
    """Shuffled epochs of batches for the τ local steps, in the same tables."""
    out: pathlib.Path = pathlib.Path("results")
    """Folder that diagnose-DATA.json and diagnose-DATA.png are written to."""

    def __call__(self) -> int:
        """Print tables, write numbers and a plot."""
        check_folder("out folder", self.out)
        if self.epochs is not None and self.batch_size is None:
            raise InputError(f"epochs is {self.epochs}, which needs --batch-size.")
        start = read_start(self, proved=False, counted=self._counted)
        config = self._config(start, self.rounds)
        gram, split, residual = start.gram.matrix, start.clients, start.residual
        rate = prediction.contraction(gram, split, config).asymptotic_rate
        with Console(stderr=True).status(f"searching for the largest stable step size on {len(gram)} rows"):
            stable = diagnosis.largest_stable_step(gram, split, config) / start.factor
        gain = diagnosis.gain_per_local_step(gram, split, config)
        local, central = (
            start.factor / 2 * np.square(follow(gram, split, residual, config)).sum(axis=1)
            for follow in (prediction.local_gd, diagnosis.centralized)
        )
        alike = diagnosis.heterogeneity(start.factor * gram, split, residual * math.sqrt(start.factor))
        decisive = diagnosis.decisive_samples(gram)
        shown_config = dataclasses.replace(config, step_size=start.step_size.value, batch_size=self.batch_size)
        if self.epochs is not None and self.batch_size is not None:
            steps = epoch_steps(split, self.batch_size, self.epochs)
            shown_config = dataclasses.replace(shown_config, local_steps=steps, batches="epochs")
        equivalents, told = conventions.conventions(split, shown_config), conventions.options(split, shown_config)
        to_change = changes(start, config, key=purpose_key(self.seed, 0), others=self._standardised())
        # Beyond 1% both fall at their last rates, and the quotient says how long one looks.
        near = int(np.argmax(central <= 0.01 * central[0])) or self.rounds
        gap = float(local[near] / central[near]) if 0 < central[near] < math.inf else math.nan
        content = {
            **start.described(self),
            "config": dataclasses.asdict(shown_config),
            "largest_step_size": start.step_size.allowed,
            "largest_stable_step_size": stable,
            "rounds_per_tenth": diagnosis.rounds_per_tenth(rate),
            "gain_per_local_step": gain,
            "loss": {"local": local.tolist(), "centralized": central.tolist()},
            "loss_over_centralized": {"round": near, "quotient": gap},
            "heterogeneity": {name: np.asarray(value).tolist() for name, value in alike._asdict().items()},
            "decisive_rows": [start.dataset.number_of(row) for row in decisive.rows[:_LISTED]],
            "decisive_shares": decisive.shares[:_LISTED].tolist(),
            "options": {entry.library: entry.options for entry in told},
            "conventions": [entry._asdict() | {"step_sizes": entry.step_sizes.tolist()} for entry in equivalents],
            "changes": [change._asdict() for change in to_change],
            "notes": start.notes,
        }
        paths = write_results(self.out, "diagnose", self.data, finite(content), _plot(local, central, start, config))
        table = Table("quantity", "value", title=start.title)
        sizes = " … ".join(dict.fromkeys(str(pick(split.sizes)) for pick in (min, max)))
        table.add_row("clients K, samples each, local steps τ", f"{split.num_clients}, {sizes}, {config.local_steps}")
        table.add_row("step size η", f"{start.step_size.value:.6g}")
        table.add_row("largest η of the linear rate with proof, 1/max_c λ_max(Θ_cc)", f"{start.step_size.allowed:.6g}")
        table.add_row("largest stable η: beyond it residuals grow for ever", f"{stable:.6g}")
        table.add_row("λ_min(Θ(W))", "[{:.6g}, {:.6g}]".format(*(start.factor * x for x in start.gram.smallest)))
        table.add_row("rounds for a tenth of the loss, in the end", shown_rounds(diagnosis.rounds_per_tenth(rate)))
        table.add_row("worth of a local step, in rounds of one step", f"{gain:.3g}")
        table.add_row(f"predicted loss at round 0, {self.rounds}", f"{local[0]:.6g}, {local[-1]:.6g}")
        table.add_row("gradient descent on all samples with as many steps", f"{central[-1]:.6g}")
        when = "when the latter is at 1%" if near < self.rounds else "at the end"
        table.add_row(f"loss of Local GD over that of gradient descent, {when} (round {near})", f"{gap:.6g}")
        table.add_row("overlap of clients, 1 … K (alike)", f"{alike.overlap:.4g}")
        table.add_row("dissimilarity of gradients, from 1", f"{alike.dissimilarity:.4g}")
        console = Console()
        tables = _conventions(equivalents), _options(told), _changes(to_change)
        for part in (_clients(start, alike), _samples(start, decisive), *tables):
            console.print(part)
        show(table, start.notes, paths)
        return 0

    def _counted(self, split: Clients) -> Float[ndarray, " K"] | None:
        """The numbers of samples that losses are means over."""
        return np.array(split.sizes, np.float64) if self.mean_loss else None

    def _config(self, start: Start, rounds: int) -> LocalSGD:
        """Full-batch Local GD, with the loss and the average that are asked for."""
        reduction: Literal["sum", "mean"] = "mean" if self.mean_loss else "sum"
        return dataclasses.replace(start.config(self, rounds), client_weights=self.client_weights, reduction=reduction)

    def _standardised(self) -> list[Change]:
        """What standardised columns would give, where they are not and no network asks for these inputs."""
        if self.standardise or self.weights is not None:
            return []
        other = dataclasses.replace(self, standardise=True)
        try:
            start = read_start(other, proved=False, counted=self._counted)
        except InputError:  # a row has become zero, or two have become one
            return []
        return [Change("--standardise", _rounds(start.gram.matrix, start.clients, self._config(start, 0)))]


def changes(start: Start, config: LocalSGD, *, key: jax.Array, others: Sequence[Change] = ()) -> list[Change]:
    """Single changes of the setting and the rounds for a tenth of the loss with each, the best first.

    The first entry is the setting as it is; a change, own or among ``others``, is listed where it saves 5% of them.
    """
    gram, split = start.gram.matrix, start.clients
    allowed = start.factor * start.step_size.allowed
    tried = {"as it is": _rounds(gram, split, config)}
    larger = f"--step-size {rounded_down(start.step_size.allowed)}, the largest with proof"
    tried[larger] = _rounds(gram, split, dataclasses.replace(config, step_size=allowed))
    doubled = dataclasses.replace(config, local_steps=2 * config.most_steps)
    tried[f"--local-steps {doubled.local_steps}"] = _rounds(gram, split, doubled)
    if split.num_clients > 1:
        even = clients.iid(key, start.dataset, split.num_clients)
        tried["clients that hold samples of all kinds (iid)"] = _rounds(gram, even, config)
    row = int(diagnosis.decisive_samples(gram).rows[0])
    (client,) = (c for c, part in enumerate(split.indices) if row in part)
    if split.sizes[client] > 1:
        kept = np.delete(np.arange(len(gram)), row)
        parts = tuple(np.searchsorted(kept, part[part != row]) for part in split.indices)
        tried[f"without row {start.dataset.number_of(row)} (from 1)"] = _rounds(
            gram[np.ix_(kept, kept)], Clients(parts), config
        )
    own = tried.pop("as it is")
    every = [*others, *(Change(what, rounds) for what, rounds in tried.items())]
    better = [change for change in every if change.rounds < (1 - _WORTH) * own]
    return [Change("as it is", own), *sorted(better, key=lambda change: change.rounds)]


def _rounds(gram: Float[ndarray, "n n"], split: Clients, config: LocalSGD) -> float:
    return diagnosis.rounds_per_tenth(prediction.contraction(gram, split, config).asymptotic_rate)


def _clients(start: Start, alike: diagnosis.Heterogeneity) -> Table:
    """The clients that limit the step size most."""
    table = Table("client", "samples", "λ_max(Θ_cc)", "‖∇L_c‖", "cosine with all", title="clients")
    for c in np.argsort(-alike.largest)[:_LISTED]:
        values = (alike.largest[c], alike.gradients[c], alike.alignment[c])
        name, size = start.client_names[c], start.clients.sizes[c]
        table.add_row(name, f"{size}", *(f"{value:.4g}" for value in values))
    return table


def _samples(start: Start, decisive: diagnosis.DecisiveSamples) -> Table:
    """The samples that λ_min is due to."""
    table = Table("row, from 1", "share", "f − y at the start", "client", title="samples that decide λ_min(Θ)")
    owner = np.concatenate([np.full(len(part), c) for c, part in enumerate(start.clients.indices)])
    owner = owner[np.argsort(np.concatenate(start.clients.indices))]
    residual = math.sqrt(start.factor) * start.residual
    for row, share in zip(decisive.rows[:_LISTED], decisive.shares[:_LISTED], strict=True):
        table.add_row(
            f"{start.dataset.number_of(row)}", f"{share:.1%}", f"{residual[row]:.4g}", start.client_names[owner[row]]
        )
    return table


def _conventions(equivalents: list[conventions.Convention]) -> Table:
    """What other libraries would have to be given."""
    table = Table("loss of a client", "average", "its step size", title="the same run in other conventions")
    for entry in equivalents:
        low, high = float(entry.step_sizes.min()), float(entry.step_sizes.max())
        value = f"{low:.6g}" if high <= low * (1 + 1e-12) else f"{low:.6g} … {high:.6g} by client"
        table.add_row(entry.loss, entry.average, value + ("" if entry.exact else ", for one local step only"))
    return table


def _options(told: list[conventions.Options]) -> Table:
    """What the libraries would have to be told."""
    table = Table("library", "options", title="the same run in other libraries")
    for entry in told:
        table.add_row(*entry)
    return table


def _changes(to_change: list[Change]) -> Table:
    table = Table("change", "rounds for a tenth of the loss", title="what to change first")
    for change in to_change:
        table.add_row(change.what, shown_rounds(change.rounds))
    return table


def _plot(local: ndarray, central: ndarray, start: Start, config: LocalSGD) -> "Figure":
    figure = new_plot()
    axes = figure.subplots()
    steps = config.most_steps * np.arange(len(local))
    here = f"Local GD, $K={start.clients.num_clients}$, $\\tau={config.local_steps}$"
    curves = {here: (local, "-"), "gradient descent, as many steps": (central, "--")}
    for label, (losses, style) in curves.items():
        shown = (losses > 0) & (losses <= _MOST_GROWTH * losses[0])
        axes.plot(steps, np.where(shown, losses, np.nan), style, label=label)
    eta = start.step_size.value
    axes.set(yscale="log", xlabel="gradient steps of each client", ylabel="predicted loss")
    axes.set_title(f"{start.dataset.name}, $\\eta={eta:.4g}$")
    axes.legend(frameon=False)
    return figure
