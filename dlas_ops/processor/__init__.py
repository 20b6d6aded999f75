"""A TVM target → what schedules must know: vectors, caches, instructions for products."""
