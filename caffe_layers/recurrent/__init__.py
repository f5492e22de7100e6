"""Layers that unroll over time."""
