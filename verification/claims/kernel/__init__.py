"""The kernel at initialization and near it: K1 to K7."""
