"""One folder and one database → all that studies leave behind."""
