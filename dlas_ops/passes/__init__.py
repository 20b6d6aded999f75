"""TVM's lowering of scheduled tensor programs, with passes of our own."""
