"""Initial weights in a file and a model → the model with these weights, or what does not fit; and advice on both."""
