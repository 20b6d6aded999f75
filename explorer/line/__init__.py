"""One configuration → its record: the trial, its stages, and what they are made of."""
