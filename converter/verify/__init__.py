"""Two forms of one net, held against each other blob by blob."""
