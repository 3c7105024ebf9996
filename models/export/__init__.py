"""From a trained student to a bundle: graph, compressed weights, card, zip."""
