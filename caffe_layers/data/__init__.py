"""Layers that bring data in: inputs, fillers and files."""
