"""A sampler is one file with `build(space, seed)`; its name is the file's."""
