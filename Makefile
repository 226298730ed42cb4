# Everything sets itself up: needs nothing but Python 3.11 and make.
#   make demo   the main job, told step by step        make test   every test
#   make check  lint, types, layers                    make bench  comparisons, printed as tables
#   make soak   the proofs at full size                make clean  remove the environment

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
BENCH_DATA := $(if $(MEMOS_BENCH_DATA),--data $(MEMOS_BENCH_DATA))
JOBS   ?= 2

export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: demo test check bench soak clean

demo: $(READY)
	@$(BIN)/python examples/harbor_team.py
	@$(BIN)/python examples/one_vault_three_frameworks.py
	@$(BIN)/python examples/a_month_with_alice.py
	@$(BIN)/python examples/inside_the_model.py

test: $(READY)
	@echo "== tests (about ten minutes on two cores)"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -q

check: $(READY)
	@echo "== ruff"    && $(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "== mypy"    && $(BIN)/mypy
	@echo "== layers"  && $(BIN)/lint-imports

bench: $(READY)
	@for each in locomo beam latency governance detection forgetting lora kv scheduler promotion supersession loop; do \
	  echo "== benchmarks/$$each"; \
	  $(BIN)/python -m benchmarks.$$each $(BENCH_DATA) || exit 1; \
	done

soak: $(READY)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -q --soak -m soak

clean:
	rm -rf $(VENV)

# All packages are resolved in one go, under one set of constraints.
$(READY): constraints.txt requirements-dev.txt $(wildcard packages/*/pyproject.toml)
	@echo "== making $(VENV) with $(PYTHON) (once; some minutes, most of it downloads)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "MemOS needs Python 3.11 or newer")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -q \
	  -c constraints.txt -r requirements-dev.txt torch==2.13.0 \
	  -e 'packages/memos-core[minilm,chroma,models,openai]' -e 'packages/memos-langchain[classic]' \
	  -e packages/memos-llamaindex -e packages/memos-autogen
	@touch $(READY)
	@echo "== ready"
