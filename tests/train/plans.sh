#!/bin/sh
# Example plans on real data, beside scikit-learn. Without arguments those whose data scikit-learn has itself and that train
# in seconds; `tests/train/plans.sh all` takes every one, after downloading some 195 MB. Needs `make all` and build/venv.
set -eu
cd "$(dirname "$0")/../.."
case "${1:-}" in
all) names="digits cancer wine shuttle anomaly wind forecast italy-power trace motions mnist fashion speech" ;;
"") names="cancer wine" ;;
*) names="$*" ;;
esac
# shellcheck disable=SC2086
build/venv/bin/python examples/plans/prepare.py build/datasets $names
build/venv/bin/python tests/train/plans.py build/tenon build/datasets $names
