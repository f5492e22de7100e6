"""Layers with weights or sums that fit no other family."""
