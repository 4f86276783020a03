"""The one place where the tests set JAX's flags and hypothesis' profile."""

import hypothesis
import jax

jax.config.update("jax_enable_x64", True)

# No deadline: first calls compile. Derandomised: the suite finds the same examples on every machine.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True, max_examples=20, print_blob=True)
hypothesis.settings.load_profile("house")
