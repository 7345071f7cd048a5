"""Measuring what is not ours: the verb `eval`, for folders, batches, checkpoints and programs."""
