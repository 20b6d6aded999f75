"""Measured stacks → the shares of a variance that layers and axes explain, alone and in pairs."""
