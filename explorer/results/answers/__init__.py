"""Finished trials and goals → the best stack that reaches them, and the best one of each budget."""
