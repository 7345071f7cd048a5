"""Tuning trials: made once by `python -m kdbench_baselines.tuning`, written down, and cited."""
