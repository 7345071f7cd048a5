"""Which table of a leaderboard a metric stands in."""

from __future__ import annotations

QUALITY = "Quality"
MEMORISATION = "Memorisation"
SPEED = "Cost: speed"
RESOURCES = "Cost: memory, size and energy"
TRAINING = "Cost: training"
COSTS = (SPEED, RESOURCES, TRAINING)
"""Headings of tables that hold no metric of images."""

TOPICS: dict[str, tuple[str, ...]] = {
    "What was kept of the teacher": (
        "recall-retention",
        "coverage-retention",
        "recall-teacher",
        "coverage-teacher",
        "kid-stratified-teacher",
        "kid-teacher",
        "fd-teacher",
        "delta-fd",
        "psnr",
        "ssim",
        "lpips",
    ),
    "Diversity": (
        "clusters-covered",
        "modes-covered",
        "vendi",
        "feature-distance",
        "pairwise-lpips",
        "duplicates",
    ),
    MEMORISATION: ("authenticity", "nearest-ratio", "copying-test"),
}
"""Metrics by the start of their names, in the order of their columns; all others are quality."""


def topic_of(metric: str) -> str:
    """The heading of the table that `name@version` stands in.

    >>> topic_of("vendi-ratio@1"), topic_of("fd[inception-v3-compat]@1")
    ('Diversity', 'Quality')
    """
    for topic, starts in TOPICS.items():
        if any(starts_with(metric, start) for start in starts):
            return topic
    return QUALITY


def place_of(metric: str) -> int:
    """The metric's place within its topic; unnamed ones come last."""
    starts = TOPICS.get(topic_of(metric), ())
    return next((i for i, start in enumerate(starts) if starts_with(metric, start)), len(starts))


def starts_with(metric: str, start: str) -> bool:
    """Whether a metric is `start` itself or one of its variants.

    >>> starts_with("fd@1", "fd"), starts_with("fd[x]@1", "fd"), starts_with("fdx@1", "fd")
    (True, True, False)
    """
    rest = metric.removeprefix(start)
    return rest != metric and rest[:1] in ("@", "-", "[")
