"""What a truncated, corrupted, huge or hostile bundle, weights file or tokenizer gets."""
