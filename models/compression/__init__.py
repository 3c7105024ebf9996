"""Making a text encoder smaller and faster: pruning, factors, clusters, quantisation, and learning to do without."""
