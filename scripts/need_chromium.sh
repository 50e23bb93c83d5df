#!/bin/sh
# The browser tests drive a Chromium that is on PATH; without one, install Debian's.
set -eu

for name in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done

fail() {
    echo "The browser tests need Chromium on PATH, and $1. Install 'chromium' or Google Chrome, then run again." >&2
    echo "All other tests: .venv/bin/python -m pytest -m 'not browser'" >&2
    exit 1
}

command -v apt-get >/dev/null 2>&1 || fail "this system has no apt-get to install it with"
if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    as_root="sudo"
else
    fail "installing it needs root or sudo"
fi

echo "Installing Chromium for the browser tests ..."
# env: sudo would drop a variable set before it.
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || fail "apt-get update failed"
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null ||
    fail "apt-get could not install it"
command -v chromium >/dev/null 2>&1 || fail "apt-get installed no chromium"
