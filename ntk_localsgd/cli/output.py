"""What commands on the user's own data write: a JSON file and a plot beside it, named after command and data."""

import json
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ntk_localsgd import results
from ntk_localsgd.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["new_plot", "write_results"]


def new_plot(width: float = 5.0, height: float = 3.4) -> "Figure":
    """An empty figure in the project's colours; matplotlib is loaded here, by commands that draw, and nowhere else."""
    import seaborn as sns
    from matplotlib.figure import Figure

    sns.set_theme(context="paper", style="ticks", palette="colorblind", rc={"axes.grid": True, "grid.alpha": 0.3})
    return Figure(figsize=(width, height), layout="constrained")


def write_results(
    folder: pathlib.Path, command: str, data: pathlib.Path, content: Mapping[str, Any], figure: "Figure"
) -> tuple[pathlib.Path, pathlib.Path]:
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
        The plot.

    Returns
    -------
    The two files

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    text = json.dumps(dict(content) | {"versions": results.versions(), "device": results.device_name()}, indent=1,
                      allow_nan=False)  # fmt: skip
    paths = folder / f"{command}-{data.stem}.json", folder / f"{command}-{data.stem}.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths[0].write_text(text + "\n", encoding="utf-8")
        figure.savefig(paths[1], dpi=200)
    except OSError as error:
        raise InputError(f"out folder {folder} cannot be written ({error.strerror}).") from error
    return paths
