"""Measured quality of a preset's worlds on held-out places, against rendered truth."""
