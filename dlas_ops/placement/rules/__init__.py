"""Operators of the network → how each kind is placed; one module per kind."""
