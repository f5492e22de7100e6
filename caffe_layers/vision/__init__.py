"""Layers that look at neighbourhoods: convolution, pooling and kin."""
