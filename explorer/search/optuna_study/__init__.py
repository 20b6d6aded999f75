"""The Optuna study behind a search: in its database, as the sampler sees it, and how it begins and goes on."""
