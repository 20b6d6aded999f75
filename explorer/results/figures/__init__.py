"""Finished trials → figures, and pages of figures that work offline."""
