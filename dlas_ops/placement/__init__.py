"""Relax module of framework operators → tensor programs in blocked layouts, with an account of its layers."""
