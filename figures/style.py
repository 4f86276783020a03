"""One look for every figure: seaborn's paper context, colour-blind safe colours, text kept as text."""

import matplotlib as mpl
import seaborn as sns
from matplotlib.figure import Figure

from ntk_localsgd.evidence import Verdict

__all__ = ["DATA_COLOURS", "VERDICT_COLOURS", "VERDICT_SYMBOLS", "new_figure"]

_PALETTE = sns.color_palette("colorblind")

#: Colour of each data set, by kind.
DATA_COLOURS = {"digits": _PALETTE[0], "sphere": _PALETTE[1]}

#: Five verdicts: symbols besides colours, so that neither carries the meaning alone.
VERDICT_COLOURS = {
    Verdict.VERIFIED: _PALETTE[2],
    Verdict.OBSERVED: _PALETTE[0],
    Verdict.SILENT: _PALETTE[7],
    Verdict.INCONCLUSIVE: _PALETTE[8],
    Verdict.REFUTED: _PALETTE[3],
}
VERDICT_SYMBOLS = {
    Verdict.VERIFIED: "P",
    Verdict.OBSERVED: "o",
    Verdict.SILENT: ".",
    Verdict.INCONCLUSIVE: "D",
    Verdict.REFUTED: "X",
}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in the house style, without pyplot's global state; sizes in inches."""
    sns.set_theme(context="paper", style="ticks", palette="colorblind")
    mpl.rcParams.update({"pdf.fonttype": 42, "svg.fonttype": "none", "axes.grid": True, "grid.alpha": 0.3})
    return Figure(figsize=(width, height), layout="constrained")
