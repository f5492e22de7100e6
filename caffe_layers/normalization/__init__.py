"""Layers that normalise by statistics."""
