"""Kernel-regime Local GD written out in NumPy: every local step of every client."""

import sys

import numpy as np
from serving import serve


def predicted_local_gd(arrays, settings):
    gram, start, eta = arrays["gram"], arrays["residual"], settings["step_size"]
    parts = np.split(np.arange(len(gram)), settings["num_clients"])
    blocks = [(part, gram[np.ix_(part, part)].copy()) for part in parts]

    def route():
        residual = start
        for _ in range(settings["num_rounds"]):
            weights = np.zeros_like(residual)
            for part, block in blocks:
                local = residual[part]
                for _ in range(settings["local_steps"]):
                    weights[part] += eta * local
                    local = local - eta * block @ local
            residual = residual - gram @ weights / len(parts)
        return residual

    return route


if __name__ == "__main__":
    sys.exit(serve({"predicted_local_gd": predicted_local_gd}))
