"""Finished trials → which of them are on the front of their device, and how sure that is."""
