"""A bundle's runtime: what turns items into predictions with onnxruntime and numpy only."""

from predictor.runtime import BundleError, ItemError, Predictor, load

__all__ = ["BundleError", "ItemError", "Predictor", "load"]
