"""Schedule steps that kernels share, and the choices that are left to tuning."""
