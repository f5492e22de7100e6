"""A legacy repository → a PyTorch project: what is in it, what will be written, the writing.

`inventory` finds and reads, `recipes` says what each training run was, `plan` what will be written
and what is missing, `project` writes it beside its place and renames it, `parity` holds the
migrated nets against the legacy ones.
"""
