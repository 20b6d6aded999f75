"""Layers → candidates, measured, and of these the algorithm for each layer."""
