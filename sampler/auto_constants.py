"""All constants of the default strategy and of the features that it works on, each with where it comes from.

What only bounds memory or time is beside the code that it bounds. What the teacher is chosen by lies in
``models/regularisation.py``; docs/auto.md lists both.
"""

from __future__ import annotations

# --- Where to begin: herding, or TypiClust -------------------------------------------------------------------------

DOUBT_LABELS = 20
"""Fewer labels than this, and a model's doubts are noise. Set by hand."""
DOUBT_LABELS_PER_CLASS = 2
"""Fewer labels than this for each class, and a model's doubts are noise. Set by hand."""
FEW_CLASSES = 2
"""Up to so many classes the first labels go to as many clusters as there are labels: the first that herding picks lies
between two classes. Measured by ``bench.class_counts`` (docs/auto.md)."""
MANY_CLASSES = 5
"""From so many classes on as well: herding meets fewer of them. Measured by ``bench.class_counts`` (docs/auto.md)."""
TYPICALITY_NEIGHBOURS = 20
"""How many neighbours say how typical an item is: Hacohen, Dekel & Weinshall 2022."""
MOST_CLUSTERS = 500
"""Clusters of TypiClust at most: Hacohen, Dekel & Weinshall 2022."""
SMALLEST_CLUSTER = 5
"""Below it lie outliers, which teach little at the start: Hacohen, Dekel & Weinshall 2022."""

# --- Classes not seen yet ------------------------------------------------------------------------------------------

NAME_TEMPERATURE = 0.05
"""Of the softmax of cosines by which names share an item. The first item of 77 names by minilm is right for .91 of them
at 0.02, .94 at 0.05, .92 at 0.1; by hashed .75, .86 and .88."""
NAME_NEIGHBOURS = 10
"""How many items a name stands among, and from how many of its likeliest the most central is taken. With the likeliest
itself: 154 labels of 77 uneven classes .702 instead of .720."""
NAME_NEAR = 0.8
"""Without labels a name counts that is so much as near to items as they are to one another. Medians on 77 intents:
their names 1.05 by minilm, 1.17 by hashed; numbers, letters and foreign words .2 to .35, and .2 to .8."""
NAMES_TELL = 2.5
"""Deviations from chance by which labels must show that names find their classes: one in 160 by chance. True names of
77 classes are at 45 to 70 after a batch, numbers and names that were swapped at -1.4 to 0.8."""
NAMES_TELL_FROM = 4
"""Labelled classes from which labels can show it: with three it is 2 at most."""
COVERED_BY_ITSELF = 2
"""With so many labels a class in the first batch, covering meets nearly all classes by itself, and what is named is not
looked for before that: on AG News by hashed, 4 of 10 looked for gave .33 after ten labels instead of .44."""
LEAST_TRUST = 0.5
"""A class is looked for if its likeliest item is likelier than not of it, as far as names have been right so far. Set
by hand: names of 77 intents are right .94 times as often as they say, those of 57 sections of a package archive .38
times, where asking by them cost .03 of accuracy."""
LEAST_PROMISE = 0.1
"""A class is looked for while its name has so much of an item, over one more than it has of the labelled ones: about
nine in vain, and no more. Set by hand."""
PROBE_SHARE = 0.25
"""Share of a batch that may look for classes before labels have shown that names find them. Set by hand: what lies near
items may still be wrong about them."""
SEEK_SHARE = 0.75
"""Share of a batch that may look for classes: what names miss is still covered. Set by hand; 0.5 and 1 are within noise
of it from the second batch on."""
SEEK_ROWS = 100_000
"""Of more candidates a seeded part is searched. Set by hand: a second."""

# --- Coverage: herding and uncertainty herding ---------------------------------------------------------------------

COVER_ROWS = 4_096
"""What stands for the pool: a kernel of 64 MB. Set by hand."""
SPREAD = 1.0
"""Bandwidth as a share of the median distance, the usual rule of thumb. ``bench.leave_one_set_out`` tries others."""
EVENNESS = 3.0
"""How steeply the power by which the kernel that doubts are covered by is evened out rises around one half with
`sampler.coverage.hubness`. At 1 the two are equal, which evened out rows of counts too little and banking77, which has
hardly any hubs, too much; ``bench.leave_one_set_out`` tries 1 and 10."""
HUB_NEIGHBOURS = 10
"""Neighbours that say who is near to many: what Radovanović, Nanopoulos & Ivanović 2010 take."""

# --- Diffusion over the graph of neighbours ------------------------------------------------------------------------

LEAST_ROWS = 100
"""In a smaller pool ten neighbours are too large a part of all. Set by hand."""
NEIGHBOURS = 10
"""Neighbours of a row in the graph: as many as in the plain blend of a row with the mean of its neighbours that
diffusion grew out of."""
RESTART = 0.1
"""How likely a step leads back to where the walk began: the default of Gasteiger, Bojchevski & Günnemann 2019."""
STEPS = 20
"""Steps of the walk: after so many what is left of it weighs 0.9²⁰ = 12 %."""
MOST_REFERENCES = 20_000
"""The graph is made of at most so many rows, drawn by a seed; all others look at their neighbours in it. Set by
hand: a few seconds of one core."""
