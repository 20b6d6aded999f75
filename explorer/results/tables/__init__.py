"""What a study says → tables and words for the terminal."""
