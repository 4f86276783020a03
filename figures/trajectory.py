"""One trajectory of one's own: loss beside its prediction, movement, flips, drift, eigenvalue and what else it holds.

>>> import jax
>>> from ntk_localsgd import clients, datasets, local_sgd, networks
>>> key = jax.random.key(0)
>>> data = datasets.sphere(key, 6, 8)
>>> net, split = networks.TwoLayerReLU.init(key, width=64, input_dim=8), clients.iid(key, data, 2)
>>> config = local_sgd.LocalSGD(step_size=0.5, local_steps=3, num_rounds=10)
>>> run = local_sgd.run(net, data, split, config, observe=("flip_fraction", "client_drift"))
>>> [axes.get_ylabel() for axes in draw(run).axes]
['loss', 'changed patterns', 'client drift']
"""

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from figures.style import label_decades, new_figure, whole_rounds
from ntk_localsgd.local_sgd import Run

__all__ = ["draw"]

# Panels of several variables: their label, and what each is called there.
_TOGETHER = {
    "loss": {"loss": "trained", "predicted_loss": "predicted by the kernel at the start"},
    "movement of the weights": {
        "frobenius_movement": r"$\|W(t)-W(0)\|_F$",
        "neuron_movement": r"$\max_r\|w_r(t)-w_r(0)\|$",
        "path_length": r"path length",
    },
    "changed patterns": {"flip_fraction": "all", "layer_flip_fraction": "layer"},
    r"$\lambda_{\min}(\Theta(W(t)))$": {"smallest_eigenvalue": "enclosure"},
}

# Relative difference of values below which they are drawn as one.
_ALIKE = 1e-9

# Lines of a panel that are told apart; more are drawn as their range.
_LINES = 8


def draw(run: Run | xr.Dataset) -> matplotlib.figure.Figure:
    """A panel for each thing that the trajectory holds, with letters, a legend, and the settings as its title.

    Parameters
    ----------
    run
        A finished run, or its trajectory, as a file of ``ntk-localsgd track`` holds it too; a variable
        ``predicted_loss`` along ``round`` is drawn beside the loss.

    Returns
    -------
    matplotlib.figure.Figure, whose ``savefig`` writes it.
    """
    trajectory = run.trajectory if isinstance(run, Run) else run
    panels = {label: [name for name in names if name in trajectory] for label, names in _TOGETHER.items()}
    known = {name for names in panels.values() for name in names}
    panels |= {str(name).replace("_", " "): [str(name)] for name in trajectory.data_vars if name not in known}
    panels = {label: names for label, names in panels.items() if names}
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = new_figure(1.0 + 2.9 * columns, 0.5 + 2.4 * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for letter, (label, names), axes in zip("abcdefghijklmnopqrstuvwxyz", panels.items(), grid, strict=False):
        for name in names:
            _add(axes, trajectory[name], _TOGETHER.get(label, {}).get(name, ""))
        axes.set(xlabel="round $t$", ylabel=label)
        axes.set_title(f"({letter})", loc="left", fontsize="medium")
        _scale(axes, label)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(frameon=False, fontsize="small")
    for axes in grid[len(panels) :]:
        axes.remove()
    figure.suptitle(_title(trajectory), fontsize="medium")
    return figure


def _add(axes: Axes, variable: xr.DataArray, label: str) -> None:
    """One variable over rounds: a line, an enclosure, or a line for each client or layer; steps by a round's last."""
    for step in ("local_step", "step_taken"):
        variable = variable.isel({step: -1}) if step in variable.dims else variable
    along = "gram_round" if "gram_round" in variable.dims else "round"
    others = [str(dim) for dim in variable.dims if dim != along]
    x, values = variable[along].values, variable.transpose(along, ...).values.reshape(variable.sizes[along], -1)
    if others == ["bound"]:
        axes.fill_between(x, values[:, 0], values[:, 1], alpha=0.4, label=label)
        axes.plot(x, values.mean(axis=1), "o-", markersize=3, linewidth=1)
    elif not others:
        style = "--" if variable.name == "predicted_loss" else "-"
        axes.plot(x, _shown(values[:, 0]), style, label=label)
    elif values.shape[1] <= _LINES:
        for number, column in enumerate(values.T):
            axes.plot(x, _shown(column), linewidth=1, label=f"{others[0]} {number}")
    else:
        axes.fill_between(x, values.min(axis=1), values.max(axis=1), alpha=0.3, label=f"range over {others[0]}s")
        axes.plot(x, _shown(np.median(values, axis=1)), linewidth=1, label="median")


def _shown(values: np.ndarray) -> np.ndarray:
    """What can be drawn: a diverging prediction has numbers beyond all scales."""
    return np.where(np.abs(values) <= 1e6 * max(abs(float(values[0])), 1.0), values, np.nan)


def _scale(axes: Axes, label: str) -> None:
    """Losses and gradients by decades, shares in percent, rounds as whole numbers."""
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
    positive = values[np.isfinite(values) & (values > 0)]
    if 0 < positive.size == np.isfinite(values).sum() and positive.max() <= (1 + _ALIKE) * positive.min():
        axes.set_ylim(0.95 * positive.min(), 1.05 * positive.max())  # no axis can show what rounding tells apart
    elif ("loss" in label or "gradient" in label) and positive.size:
        label_decades(axes)
    if "patterns" in label or "flips" in label:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    whole_rounds(axes)


def _title(trajectory: xr.Dataset) -> str:
    """Data and settings, as far as the trajectory says them."""
    about = trajectory.attrs
    parts = [f"{about['dataset']}, $n={about['num_samples']}$"] if "dataset" in about else []
    if "client_sizes" in about:
        parts.append(f"$K={np.size(about['client_sizes'])}$")
    symbols = {
        "local_steps": "\\tau", "step_size": "\\eta", "batch_size": "b", "width": "m", "depth": "L", "scale": "\\kappa"
    }  # fmt: skip
    parts += [
        f"${symbol}={about[name]:.4g}$"
        for name, symbol in symbols.items()
        if np.ndim(about.get(name, ())) == 0 and name in about
    ]
    return ", ".join(parts)
