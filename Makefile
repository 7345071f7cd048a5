.PHONY: check test bench speed costs

check:  ## lint, format, types
	ruff check .
	ruff format --check .
	mypy

test:  ## everything but long trainings
	pytest

bench:  ## speed, as ratios against named peers in one interleaved run
	pytest tests/benchmarks --ignore=tests/benchmarks/test_ratio_under_load.py --benchmark-only --benchmark-enable -o addopts="--import-mode=importlib -q"

speed:  ## the benchmarks on an idle machine (about half an hour), and docs/speed.md from them
	OMP_NUM_THREADS=1 pytest tests/benchmarks --ignore=tests/benchmarks/test_ratio_under_load.py --benchmark-only --benchmark-enable \
		--benchmark-json .speed.json -o addopts="--import-mode=importlib -q"
	python tests/benchmarks/speed_page.py .speed.json docs/speed.md

costs:  ## ratios on a loaded machine (about 9 minutes, nothing beside it), and docs/costs.md from them
	OMP_NUM_THREADS=1 pytest tests/benchmarks/test_ratio_under_load.py --benchmark-only \
		--benchmark-enable --benchmark-json .costs.json -o addopts="--import-mode=importlib -q"
	python tests/benchmarks/costs_page.py .costs.json docs/costs.md
