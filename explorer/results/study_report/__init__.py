"""A study's finished trials → what they say about the questions of the stack, as one page, and what to run next."""
