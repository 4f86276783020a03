"""What commands on the user's own data write: a JSON file and a plot beside it, named after command and data."""

import json
import math
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import Stack, save_network
from ntk_localsgd.provenance import device_name, versions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["check_folder", "new_plot", "show", "shown_rounds", "write_network", "write_results"]


def check_folder(name: str, folder: pathlib.Path) -> None:
    """Refuse a folder that results cannot be written to before they are computed; one that is missing is made later.

    Raises
    ------
    InputError
        If it is a file, below a file, or must not be written to.
    """
    there = next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise InputError(f"{name} {folder} cannot be written ({there} is no folder that may be written to).")


def shown_rounds(rounds: float) -> str:
    """A number of rounds, which may be infinite."""
    return f"{rounds:.6g}" if math.isfinite(rounds) else "never"


def show(table: Table, notes: Iterable[str], paths: Iterable[pathlib.Path]) -> None:
    """Print a table, what the user should know beside it, and where files lie."""
    console = Console()
    console.print(table)
    for line in (*(f"note: {note}." for note in notes), *map(str, paths)):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def new_plot(width: float = 5.0, height: float = 3.4) -> "Figure":
    """An empty figure in the project's colours; matplotlib is loaded here, by commands that draw, and nowhere else."""
    import seaborn as sns
    from matplotlib.figure import Figure

    sns.set_theme(context="paper", style="ticks", palette="colorblind", rc={"axes.grid": True, "grid.alpha": 0.3})
    return Figure(figsize=(width, height), layout="constrained")


def write_network(net: Stack, path: pathlib.Path) -> pathlib.Path:
    """Write the network (.npz), into a folder that is made if missing; the path again.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        save_network(net, path)
    except OSError as error:
        raise InputError(f"network {path} cannot be written ({error.strerror}).") from error
    return path


def write_results(
    folder: pathlib.Path, command: str, data: pathlib.Path, content: Mapping[str, Any], figure: "Figure | None"
) -> tuple[pathlib.Path, ...]:
    """Write ``command-data.json`` and ``command-data.png``.

    Parameters
    ----------
    folder
        Where to; made if missing.
    command, data
        Name of the command and file of the data: the files' name.
    content
        Plain finite values; versions and device are added.
    figure
        The plot; None: the JSON file alone.

    Returns
    -------
    The files

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    text = json.dumps(dict(content) | {"versions": versions(), "device": device_name()}, indent=1, allow_nan=False)
    paths = folder / f"{command}-{data.stem}.json", folder / f"{command}-{data.stem}.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths[0].write_text(text + "\n", encoding="utf-8")
        if figure is None:
            return paths[:1]
        figure.savefig(paths[1], dpi=200)
    except OSError as error:
        raise InputError(f"out folder {folder} cannot be written ({error.strerror}).") from error
    return paths
