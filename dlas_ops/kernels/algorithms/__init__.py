"""A convolution algorithm is one file, and its name is the file's."""
