"""Two-layer networks along their training."""
