"""The verbs of the `caffe` command: one file each, its name the verb's.

A verb module's first line says what it is for, after a colon; it has FLAGS (the names of those it
heeds), EXAMPLES (command lines that end its help) and `run(options) -> exit code`. With ARGUMENTS
(`("INPUT", "[OUTPUT]")`) it takes plain arguments, and its FLAGS are Flags of its own. GROUP says
which verbs `caffe` alone shows it with, "nets and weights" if it is not given. It is found by
itself.
"""
