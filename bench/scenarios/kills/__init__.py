"""kill -9 of every part at random moments, while people label, files are imported and rounds train."""
