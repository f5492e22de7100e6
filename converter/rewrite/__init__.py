"""Graph → Graph: the same numbers from fewer layers.

One file is one rewrite, a function from Graph to Graph; `catalogue` has them by name. A layer that
takes the place of several keeps them as its `parts`, so that weight files and snapshots still see
the layers of the prototxt.
"""
