"""A compiled network's outputs → right or wrong, and where they first go wrong."""
