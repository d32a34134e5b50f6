#!/bin/sh
# Deltas of real models, fine-tuned: smaller than those of xdelta3, bsdiff and zstd, made and applied in a memory that does
# not grow with the files, and read by a second reader that was written from the description alone.
set -eu
cd "$(dirname "$0")/../.."
tests/models/fetch.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build/venv/bin/python tests/delta/pairs.py build/models "$work"
build/venv/bin/python tests/delta/sizes.py "${BUILD:-build}/tenon" "$work"
