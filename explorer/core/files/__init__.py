"""Files as the explorer trusts them: regular ones, known by their contents, locked, and noted where code reads them."""
