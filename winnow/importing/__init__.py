"""Files in: parsers that stream rows with flat memory, and the job that adds them to a pool."""
