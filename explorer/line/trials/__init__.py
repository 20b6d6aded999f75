"""A configuration along the line: its steps, what an engine does at each, what is recorded; and the dry run."""
