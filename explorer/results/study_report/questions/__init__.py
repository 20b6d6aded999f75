"""Finished trials → the answer to one question about the stack; a file for each question."""
