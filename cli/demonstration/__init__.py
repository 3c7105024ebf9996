"""``winnow demo``: the whole loop on real images, by the same ways that a user has."""
