"""What a person should know before choosing a query strategy: what a ranking costs and when it is worth trying."""

from __future__ import annotations

from dataclasses import dataclass

COSTS = {
    "score": "one pass over the stored probabilities",
    "features": "one pass over the features",
    "committee": "five small models, one pass for all of them",
    "refits": "a step of the model for each of 256 candidates and each class",
    "shortlist": "one pass over the probabilities, then clusters of the doubtful",
    "sample": "a seeded sample of at most 20,000 candidates",
    "kernel": "a kernel of at most 4,096 candidates",
    "design": "at most 8,192 candidates and a matrix of the features' width, two products a pick",
    "gradients": "at most 32,768 candidates, a distance to each pick",
    "mixed": "that of the strategy that it stands at",
}


@dataclass(frozen=True)
class Advice:
    """A key of `COSTS`, and when to use a strategy."""

    cost: str
    when: str


GUIDE = {
    "auto": Advice("mixed", "Always, unless a measurement on your own data says otherwise."),
    "random": Advice("score", "For a pool that is to be measured as well, or as the arm to compare with."),
    "least_confidence": Advice("score", "Two classes, one label at a time; elsewhere margin is the better choice."),
    "margin": Advice("score", "A warm model and small batches; cheap at any size. Its batches repeat themselves."),
    "entropy": Advice("score", "Few classes. With many it asks for what is unclear between classes nobody mixes up."),
    "power_margin": Advice("score", "Batches without duplicates at no cost; every item keeps a chance."),
    "vote_entropy": Advice("committee", "To compare with papers; for batches `committee` spreads the same out."),
    "consensus_entropy": Advice("committee", "As `entropy`, where one model's probabilities are not to be trusted."),
    "kl_max": Advice("committee", "Looks for items on which one member strays; finds outliers too."),
    "bald": Advice("committee", "Doubt that labels can remove, not noise; small batches."),
    "gradient_length": Advice("features", "Features whose lengths mean something; otherwise as `entropy`."),
    "model_change": Advice("features", "As `gradient_length`, weighted by how much of the pool an item speaks for."),
    "expected_error": Advice("refits", "Tiny batches where a label is dear; looks at 256 candidates."),
    "density": Advice("features", "Never alone; it shows what is typical."),
    "density_uncertainty": Advice("features", "Pools with many outliers that a doubt alone would ask for."),
    "class_balanced": Advice("score", "Unbalanced classes that the model already tells apart."),
    "rare_class": Advice("score", "A rare class matters more than accuracy."),
    "coreset": Advice("sample", "Pools without outliers; it begins with corners."),
    "typiclust": Advice("sample", "The first labels, above all with many classes."),
    "herding": Advice("kernel", "The first labels of a few classes, at any budget."),
    "probcover": Advice("kernel", "The first labels where classes form tight groups."),
    "kmeans": Advice("shortlist", "Batches of some size, representative ones of the doubtful."),
    "clustered_margin": Advice("shortlist", "Large batches, many classes, a warm model."),
    "badge": Advice("gradients", "Large batches of a warm model."),
    "i_optimal": Advice("design", "Few classes and features of moderate width: the most per label after the start."),
    "uncertainty_herding": Advice("kernel", "After the start, at any number of classes: what `auto` goes over to."),
    "ranked_batch": Advice("sample", "As modAL's; goes from unlike to unsure as labels come."),
    "dropquery": Advice("shortlist", "Features of a large pretrained encoder."),
    "committee": Advice("committee", "A modAL committee of your own; its most disputed items, spread out."),
}
