"""A trial on record → what each program of its network takes, what bounds it, and why it is not faster."""
