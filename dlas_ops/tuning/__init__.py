"""Lowered network → its tensor programs to tune, and tuners that search their schedules."""
