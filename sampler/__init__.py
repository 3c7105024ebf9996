"""Arrays in, ranked rows out: which items to label next, and why.

NumPy, SciPy and scikit-learn only; nothing here loads torch, reads a file or knows a database.
"""
