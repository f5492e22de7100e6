"""A Net as a PyTorch source file that a person could have written."""
