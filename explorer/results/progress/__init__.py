"""Events and records of a running study → how far it is."""
