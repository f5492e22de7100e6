"""Measurements: run from the root of the clone, such as `python -m benchmarks.corpus`."""
