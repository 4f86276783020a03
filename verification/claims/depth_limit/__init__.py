"""Convergence of deep ReLU networks as their depth grows: Xu and Zhang 2021, X1 … X5."""
