"""A bundle's runtime: what turns items into predictions with onnxruntime and numpy only."""
