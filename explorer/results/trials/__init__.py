"""One trial on record: its stack, the account of its network, and how its layers were ranked."""
