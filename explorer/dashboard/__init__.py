"""A workspace → a live page of its studies on this machine's loopback address, which only reads."""
