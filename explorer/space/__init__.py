"""Search-space and devices files → configurations, and Optuna's parameters for them."""
