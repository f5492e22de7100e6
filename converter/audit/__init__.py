"""What a legacy net really does, found out by measuring it.

`study.Study` has the net, data for it and ways to run parts of it; each file in `checks/` looks
for one kind of finding; `terminal` and `page` show what was found.
"""
