"""What nets, weights and databases are, in numbers: plain data for tables, drawings and pages."""
