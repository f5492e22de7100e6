"""The errors a layer can raise; converter/errors.py adds those of files, graphs and weights."""


class CaffeError(Exception):
    """Root of every error this project raises on purpose: one clear line for the user."""


class LayerError(CaffeError):
    """A layer cannot be built or run: bottom count, shape or parameter that does not fit."""


class DataError(CaffeError):
    """A data file named by a layer is missing, unreadable or does not hold what the layer needs."""
