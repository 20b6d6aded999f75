"""Files and code that trials take from outside of the line → artifacts whose keys are digests of contents."""
