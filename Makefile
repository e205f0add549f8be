# `make book` builds the site, `make test` runs every check. Each sets up .venv first; nothing else is touched.
PYTHON ?= python3
BIN := .venv/bin
CHAPTERS ?=
# They start first, so that no core is idle at the end.
LONGEST := $(addprefix chapters/,04_sweeps.py 03_training.py published.py 06_sampling.py 05_collapse.py 08_explore.py 02_model.py)
# One process more than there are cores: while one waits for a browser, another works.
CORES := $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
PYTEST ?= -n $(shell expr $(CORES) + 1) --dist loadgroup
BENCH ?=

.PHONY: help book pdf test browser setup chapters explorers bench serve clean distclean

help:
	@echo "make book      build the site from the executed notebooks (no data, no torch)"
	@echo "make test      lint, check types and the packages' layers, run all tests"
	@echo "make setup     install what running the chapters, and making pages of them, needs"
	@echo "make chapters  execute the chapters in full on real data (CHAPTERS=chapters/03_training.py for one)"
	@echo "make explorers bundle the explorers' JavaScript again, after a change (needs node)"
	@echo "make bench     measure the speed beside pythae's and the machine's limit (BENCH='--threads 1' for options)"
	@echo "make pdf       the site as one PDF (needs Chromium)"
	@echo "make serve     build the site and serve it on http://localhost:8000"
	@echo "make clean     remove the built site and the caches (make distclean: the environment too)"

# .venv/.EXTRA says that the environment holds that extra of pyproject.toml, at the versions of constraints.txt.
.venv/.%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-compile --constraint constraints.txt --editable ".[$*]"
	touch $@

book: .venv/.book
	$(BIN)/jupyter-book build . --all -W -n --keep-going --quiet
	@touch _build/html/.whole
	@echo "Open $(CURDIR)/_build/html/index.html"

pdf: book .venv/.pdf browser
	$(BIN)/python -m vaebook.build.pdf

test: .venv/.test browser
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy & types=$$!; OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST); tests=$$?; wait $$types && exit $$tests

# The tests look at the pages in a Chromium: Debian's, where it may be installed. Without one they are skipped, or, in
# CI, fail.
browser:
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null; \
	fi || true

setup: .venv/.chapters .venv/.book

# The scorecard reads what the other chapters found: after all of them it takes a few seconds once more.
chapters: .venv/.chapters
	$(BIN)/vaebook execute $(or $(CHAPTERS),--jobs 2 --first $(LONGEST))
	$(if $(CHAPTERS),,$(BIN)/vaebook execute chapters/07_scorecard.py)

# What the explorers run in the page: one text each, of the modules beside it. Needs node; the texts are committed.
explorers:
	sh vaebook/explorers/js/bundle.sh explorers
	sh vaebook/explorers/js/bundle.sh playground

bench: .venv/.bench
	$(BIN)/python -m bench $(BENCH)

serve: book
	$(BIN)/python -m http.server --directory _build/html 8000

clean:
	rm -rf _build .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis

distclean: clean
	rm -rf .venv *.egg-info
