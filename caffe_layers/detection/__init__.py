"""Boxes: what a region proposal network is taught."""
