"""A seed → malformed inputs of every kind that users bring, and what the command line makes of each."""
