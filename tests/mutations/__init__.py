"""Breaks one formula at a time and shows that the suite notices: ``python -m tests.mutations``."""
