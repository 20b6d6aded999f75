"""Tests of `explorer.line.channels`."""
