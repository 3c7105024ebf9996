# Each target works from a clean clone and is safe to run again.
.DEFAULT_GOAL := help
.PHONY: help setup demo serve test lint bench clean

help: ## What the targets do.
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

setup: ## Build .venv with everything that a user needs.
	@sh scripts/setup.sh

demo: setup ## The whole loop on real images, measured: under five minutes.
	@.venv/bin/winnow demo

serve: setup ## API on 8000, pages on 8501.
	@.venv/bin/winnow serve

test: ## The whole gate: ruff, mypy, import-linter, pytest, a real browser.
	@sh scripts/test.sh

lint: ## The part of the gate that runs nothing.
	@sh scripts/setup.sh --dev
	@sh scripts/lint.sh

bench: setup ## The benchmarks of docs/benchmarks.md, small.
	@for what in rank encode student round serve; do .venv/bin/winnow bench $$what || exit 1; done

clean: ## Remove the virtual environment and everything that was built. Touches no user data.
	@rm -rf .venv build demo-out *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
