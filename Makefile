# make demo   the whole chain on the embedded data set     make test   all checks
# make test-gpu  the tests on a GPU, skipped by name without one; says which card
# make serve  Prefect, MLflow and workers on this machine  make stop   end just these
# make lock   refresh requirements.lock                    make clean  remove what demo made
# make drawings   renew the drawings and pages of docs/ that are made by code
# make niivue  fetch the viewer of the review anew from npm, and check its digest
# make wheel  the package for labs, in dist/: docs/how-to/studies.md
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
# Without bytecode every process compiles all that it imports, which takes longer than most.
unexport PYTHONDONTWRITEBYTECODE
# Before a command that is silent for minutes: says every five seconds that it goes on.
SPEAKING := exec sh -c 'trap "kill \$$!; exit 1" INT TERM; "$$@" & n=0; while sleep 5; kill -0 $$! 2>/dev/null; do n=$$((n+5)); echo "$$n s"; done; wait $$!' wait

.PHONY: demo serve stop test test-gpu lint types floors tests drawings niivue wheel lock clean

$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("segpipe needs Python 3.11 to 3.13, this is " + sys.version.split()[0] + "; name another one: make PYTHON=python3.11 ...") if not (3, 11) <= sys.version_info < (3, 14) else None'
	@echo "install the packages of requirements.lock into $(VENV): some minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@$(SPEAKING) $(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

demo: $(VENV)/installed
	segpipe phantom data
	dvc repro
	segpipe record
	segpipe results

serve: $(VENV)/installed
	@python -m flows.services start

stop: $(VENV)/installed
	@python -m flows.services stop

test: lint types floors tests

lint: $(VENV)/installed
	ruff format --check .
	ruff check .

types: $(VENV)/installed
	mypy

floors: $(VENV)/installed
	lint-imports

tests: $(VENV)/installed
	OMP_NUM_THREADS=1 python -m pytest --numprocesses 3 --dist worksteal

test-gpu: $(VENV)/installed
	segpipe --version
	python -m pytest -m gpu -rs --log-cli-level INFO

drawings: $(VENV)/installed
	python -m docs.drawings
	python -m docs.tables

# Needs none of the packages. What an older build left would get into the wheel.
wheel:
	rm -rf build
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir dist .
	rm -rf build

# The viewer of the review. Another version: change the number, fetch it, look at what
# changed, and write its digest with sha256sum into the file beside it.
NIIVUE := 0.69.0
VENDOR := segpipe/review/vendor
niivue:
	rm -rf build/niivue && mkdir -p build/niivue
	npm pack --silent --pack-destination build/niivue @niivue/niivue@$(NIIVUE)
	tar -xzOf build/niivue/niivue-niivue-$(NIIVUE).tgz package/dist/niivue.umd.js > build/niivue/niivue.umd.js
	cd build/niivue && sha256sum --check $(CURDIR)/$(VENDOR)/niivue.umd.js.sha256
	mv build/niivue/niivue.umd.js $(VENDOR)/niivue.umd.js
	rm -rf build/niivue

# Every version of a fresh install of pyproject.toml's ranges. Local suffixes (+cpu) go,
# so that pip takes the build that suits the machine.
lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --upgrade pip
	.venv-lock/bin/python -m pip install --quiet '.[dev]'
	.venv-lock/bin/python -m pip check
	.venv-lock/bin/python -m pip freeze --all --exclude pip --exclude segpipe | sed 's/+[a-z0-9.]*$$//' > requirements.lock
	grep -iE '^(connected-components-3d|edt|imagecodecs|monai|nibabel|numpy|pillow|scikit-image|scipy|simpleitk|tifffile|torch)==' requirements.lock > requirements-numerics.lock
	rm -rf .venv-lock build

clean:
	rm -rf artifacts .cache .checkpoints
