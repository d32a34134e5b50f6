#!/bin/sh
# Trains on real data, beside what others make of the same split. Needs `make all` and build/venv.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build/venv/bin/python tests/train/digits.py build/examples/train_digits "$work"
tests/train/plans.sh
tests/train/ensemble.sh
tests/train/mpi.sh
