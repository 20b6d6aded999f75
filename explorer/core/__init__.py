"""Errors, configurations, settings and other leaves: every other package builds on them, and they import none."""
