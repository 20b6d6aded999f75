"""The algorithms' kernels for weights in CSR, and what these share."""
