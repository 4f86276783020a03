"""Networks with fewer neurons than samples that interpolate: found by least squares, proved by Newton–Kantorovich."""

from ntk_localsgd.interpolation.fitting import fit, interpolate
from ntk_localsgd.interpolation.proof import Proof, prove
from ntk_localsgd.interpolation.shallow import Shallow, least_width

__all__ = ["Proof", "Shallow", "fit", "interpolate", "least_width", "prove"]
