# Two commands do everything: `make run` and `make test`. Each makes .venv/ first when it is not there.
.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest
# Two processes; the tests of a file stay together, since many of them share a model or a server.
IN_PARALLEL := --numprocesses 2 --dist loadfile
PEER := .bench-venv
PEER_READY := $(PEER)/.ready
DRIFT_PEER_READY := .bench-drift-venv/.ready

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help run test soak bench lint lab dashboard api expected pictures lock clean

help:
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	@echo "Installing into $(VENV)/ (some minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $(READY)

run: $(READY) ## train on the embedded book, score a file, check drift
	@echo "1/3 train: four attempts on 50,000 loans, some minutes"
	@$(BIN)/creditrisk train > runs/.last-train
	@echo "2/3 score: a thousand applications"
	@$(BIN)/creditrisk score > runs/.last-score
	@echo "3/3 drift: the logged predictions against the training baseline"
	@$(BIN)/creditrisk drift > runs/.last-drift
	@echo
	@echo "Done. What to look at:"
	@echo "  $$(cat runs/.last-train)/report.html   how the models were made, and how good they are"
	@echo "  $$(cat runs/.last-score)/report.html   the scored file and its control totals"
	@echo "  $$(cat runs/.last-score)/scored.parquet"
	@echo "  $$(cat runs/.last-drift)/report.html   drift of the logged predictions"
	@echo "  artifacts/model_data_v1.joblib, artifacts/model_data_v2.joblib"
	@echo "Then: make dashboard (the page), make api (the HTTP API), make lab (the notebooks)"

test: $(READY) lint ## all tests
	$(PYTEST) $(IN_PARALLEL) tests
	@echo "All tests passed. Notebook regressions: tests/notebooks; to refresh what they expect: make expected"

soak: $(READY) lint ## all tests at full length: kill loops, fuzzing
	CREDITRISK_SOAK=1 $(PYTEST) $(IN_PARALLEL) tests

bench: $(READY) $(PEER_READY) $(DRIFT_PEER_READY) ## benchmarks, as ratios within one run
	$(PYTEST) tests/benchmarks --benchmarks -s

# Peers that benchmarks measure against; the product never sees them. Without one its benchmark skips, and says so.
$(PEER_READY): WHAT := optbinning==1.0.0
$(DRIFT_PEER_READY): WHAT := "evidently==0.7.23" "pandas<3"
$(PEER_READY) $(DRIFT_PEER_READY):
	@echo "Installing a peer of the benchmarks into $(@D)/"
	@{ test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D); } \
		&& $(@D)/bin/python -m pip install --quiet $(WHAT) && touch $@ \
		|| echo "The peer could not be installed; the benchmarks run without it"

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "Not formatted; run: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/lint-imports --no-cache > .lint-imports.log || { cat .lint-imports.log; exit 1; }; rm -f .lint-imports.log

lab: $(READY) ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks

dashboard: $(READY) ## the page, on http://127.0.0.1:8866
	$(BIN)/creditrisk dashboard

api: $(READY) ## the HTTP API, on http://127.0.0.1:8000
	$(BIN)/creditrisk serve

expected: $(READY) ## refresh the outputs that notebook regression tests expect
	$(BIN)/python tests/notebooks/regression.py --update

pictures: $(READY) ## make the README's pictures anew (needs Chromium and a finished make run)
	$(BIN)/python scripts/pictures.py

lock: ## resolve requirements.lock anew from pyproject.toml
	$(PYTHON) -m venv .lock-venv && .lock-venv/bin/pip install --quiet uv
	.lock-venv/bin/uv pip compile --quiet --universal --python-version 3.11.7 --extra dev --no-header --no-annotate \
		--no-emit-index-url pyproject.toml -o requirements.lock
	rm -rf .lock-venv

clean: ## remove the environment; runs/ and artifacts/ stay
	rm -rf $(VENV)
