"""Articulated figures: a skeleton that poses at random, cameras, a painter, the file layout."""
