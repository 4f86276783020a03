"""Nonlinearity and entropy: Kulathunga et al. 2021, E1 … E4."""
