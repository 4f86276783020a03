"""Convergence with many clients and many local steps."""
