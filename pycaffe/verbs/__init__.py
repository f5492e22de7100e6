"""The verbs of the `caffe` command: one file each, its name the verb's.

A verb module has PURPOSE (a line for the help), FLAGS (the names of those it heeds) and
`run(options) -> exit code`. It is found by itself.
"""
