"""Operators other than convolutions of one group, and changes of layout."""
