#!/bin/sh
# Training on several processes of this machine, beside one. Needs `make all`, build/venv and mpirun (openmpi-bin).
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build/venv/bin/python examples/plans/prepare.py build/datasets cancer
build/venv/bin/python tests/train/mpi.py build/tenon build/datasets "$work"
