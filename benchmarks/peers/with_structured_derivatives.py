"""neural-tangents' empirical kernel by structured derivatives, on the JAX that they were written for."""

import sys
import types

from serving import serve
from with_neural_tangents import gram_by

# It is imported for TensorFlow's sake only, which is not installed.
sys.modules["neural_tangents.experimental"] = types.ModuleType("neural_tangents.experimental")


def gram(arrays, settings):
    """Θ of the same outputs."""
    import neural_tangents

    return gram_by(neural_tangents, arrays, settings)


if __name__ == "__main__":
    sys.exit(serve({"gram": gram}))
