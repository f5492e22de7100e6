"""The layers of the integral-regression 3D-pose repositories (spec of each in its docstring)."""
