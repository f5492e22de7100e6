"""The pieces `make_nets.py` puts a pose net together from, each as prototxt text."""
