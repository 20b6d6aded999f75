"""The device as a stage sees it: a server that a tracker grants, a session, its control, and how long it may wait."""
