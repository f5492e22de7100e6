"""Layers that measure: losses and accuracy."""
