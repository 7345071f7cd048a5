.PHONY: check test bench speed

check:  ## lint, format, types
	ruff check .
	ruff format --check .
	mypy

test:  ## everything but long trainings
	pytest

bench:  ## speed, as ratios against named peers in one interleaved run
	pytest tests/benchmarks --benchmark-only --benchmark-enable -o addopts="--import-mode=importlib -q"

speed:  ## the benchmarks on an idle machine (about half an hour), and docs/speed.md from them
	OMP_NUM_THREADS=1 pytest tests/benchmarks --benchmark-only --benchmark-enable \
		--benchmark-json .speed.json -o addopts="--import-mode=importlib -q"
	python tests/benchmarks/speed_page.py .speed.json docs/speed.md
