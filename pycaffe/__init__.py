"""The old faces: the `caffe` command, with the flags and the log that scripts know."""
