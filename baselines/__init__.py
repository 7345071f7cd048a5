"""kdbench's own baselines, registered through the same entry points as a stranger's package."""
