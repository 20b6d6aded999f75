"""Faults that strike a run of the command line, and what they left of its study; see tests/benchmarks/faults.py."""
