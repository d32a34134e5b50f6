#!/bin/sh
# Pushes and pulls beside a real registry (Debian's docker-registry, on ports of this machine) and other clients (skopeo,
# oras): plain, with TLS, passwords and tokens, deltas, and with processes killed on the way. Announcements beside Debian's
# mosquitto. Needs `make all` and build/venv.
set -eu
cd "$(dirname "$0")"
exec ../../build/venv/bin/python -m unittest check deltas mqtt
