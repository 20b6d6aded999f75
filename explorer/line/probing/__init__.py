"""A session on a device → what it says of itself, whether its target fits that, and what it can do at most."""
