"""Parts that kernels share: shapes, padding, packing, sums, activations, and the NumPy reference."""
