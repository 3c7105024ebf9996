"""The history of the tables, and how to move along it."""
