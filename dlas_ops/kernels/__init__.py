"""Layers' shapes → tensor programs and their schedules: convolution algorithms, sparse ones, other operators."""
