"""A bundle's runtime: what turns items into predictions with onnxruntime and numpy only."""

from predictor.cascade import Cascade
from predictor.errors import BundleError, ItemError
from predictor.runtime import Predictor, load

__all__ = ["BundleError", "Cascade", "ItemError", "Predictor", "load"]
