.PHONY: check test bench

check:  ## lint, format, types
	ruff check .
	ruff format --check .
	mypy

test:  ## everything but long trainings
	pytest

bench:  ## speed, as ratios against named peers in one interleaved run
	pytest tests/benchmarks --benchmark-only --benchmark-enable -o addopts="--import-mode=importlib -q"
