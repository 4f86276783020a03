"""Rigorous eigenvalues by ball arithmetic, through python-flint."""

import sys

import flint
import numpy as np
from serving import serve


def smallest_eigenvalue(arrays, settings):
    entries = arrays["gram"].tolist()

    def route():
        flint.ctx.prec = 106  # twice the precision of the matrix; at 53 bits the balls do not separate
        found = flint.acb_mat(entries).eig(multiple=True, algorithm="rump")
        # A float64 rounds a ball's ends by at most 2u: pad both, so that the enclosure stays one.
        lower = min(float((value.real - value.real.rad()).lower()) for value in found)
        upper = min(float((value.real + value.real.rad()).upper()) for value in found)
        return np.array([np.nextafter(lower, -np.inf), np.nextafter(upper, np.inf)])

    return route


if __name__ == "__main__":
    sys.exit(serve({"smallest_eigenvalue": smallest_eigenvalue}))
