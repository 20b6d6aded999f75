"""Measurements of a stack: quantities with their intervals, and the sessions, samples and clocks behind them."""
