"""Certificates held against runs, and against themselves with a step of the proof left out."""
