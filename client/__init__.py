"""The typed HTTP client: the only HTTP of the UI and the command line."""
