"""The answers of a report → a page or a text to read."""
