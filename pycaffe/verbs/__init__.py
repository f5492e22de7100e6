"""The verbs of the `caffe` command: one file each, its name the verb's.

A verb module's first line says what it is for, after a colon; it has FLAGS (the names of those it
heeds) and `run(options) -> exit code`. It is found by itself.
"""
