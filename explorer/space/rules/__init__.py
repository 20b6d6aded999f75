"""Rules on the axes of a space, and the tree of the configurations that they leave."""
