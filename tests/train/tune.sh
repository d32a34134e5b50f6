#!/bin/sh
# TPE and successive halving beside Optuna on five standard functions, 20 seeds of 100 trials each, and on the plan of the cancer
# data: some minutes. Needs `make all` and build/venv, where it installs Optuna.
set -eu
cd "$(dirname "$0")/../.."
build/venv/bin/python -c "import optuna" 2>/dev/null ||
    build/venv/bin/pip install --quiet --disable-pip-version-check optuna==5.0.0
export PYTHONPATH=bindings/python
build/venv/bin/python tests/train/tune.py "$@"
build/venv/bin/python examples/plans/prepare.py build/datasets cancer
build/venv/bin/python tests/train/tune_plan.py build/tenon build/datasets
