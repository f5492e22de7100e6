"""One file, one kind of finding: a function marked with `@check`, found by itself."""
