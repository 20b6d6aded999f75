"""A snapshot of a study → what the page shows of it, a file for each part of the page."""
