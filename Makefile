# Two commands matter: `make demo` plays a world and writes out/demo.mp4, `make test` runs the tests.
# Each sets up .venv first. TORCH takes any pip arguments, for another build of PyTorch:
#   make demo TORCH='torch==2.11.0 --index-url <the CUDA or CPU index named on pytorch.org>'

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test e2e check format protocol clean

demo: $(VENV)/.ready
	$(BIN)/worldloom demo

# Two at a time, each on one core: one plays worlds on Ray, the other has the rest.
test: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup

# A game over gRPC, its player in a headless Chromium, two viewers, and a connection that breaks. Fails without Chromium.
e2e: $(VENV)/.ready
	WORLDLOOM_E2E=1 $(BIN)/pytest tests/e2e

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p worldloom
	$(BIN)/mypy tests

format: $(VENV)/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# After a change of serve/protocol/*.proto, which the tests hold the compiled files to.
protocol: $(VENV)/.ready
	$(BIN)/python ops/compile_protocol.py

$(VENV)/.ready: pyproject.toml ops/setup_env.py
	$(PYTHON) ops/setup_env.py $(VENV) $(TORCH)

clean:
	rm -rf $(VENV) build dist out *.egg-info .mypy_cache .pytest_cache .ruff_cache
