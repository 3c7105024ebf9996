"""Pure ranking: arrays in, ranked rows out."""
