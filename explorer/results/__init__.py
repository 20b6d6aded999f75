"""Finished trials → what a reader takes away: fronts, answers, tables, figures, progress."""
