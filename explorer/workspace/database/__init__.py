"""A database URL → the studies' tables: what is on record of trials, sessions, devices and executions of stages."""
