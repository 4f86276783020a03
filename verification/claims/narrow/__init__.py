"""Smooth networks with fewer neurons than samples: N1 to N5."""
