"""Routes, one noun a file. Each names the permission that it needs, and opens its own transaction."""
