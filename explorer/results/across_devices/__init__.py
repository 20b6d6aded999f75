"""Finished trials on several devices → what the same stack costs on each, in frames, words, lines and one answer."""
