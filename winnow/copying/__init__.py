"""Taking projects from one database to another."""
