"""Database: the declarative base, sessions and tables."""
