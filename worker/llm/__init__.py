"""Asking language models over the network, and their part of a round."""
