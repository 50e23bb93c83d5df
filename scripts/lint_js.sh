#!/bin/sh
# eslint over the page's JavaScript. The product needs no node; without node, or without a network to fetch eslint
# once, this says so and passes: the browser tests import every module too.
set -eu

skip() {
    echo "The JavaScript was not linted: $1." >&2
    exit 0
}

command -v npx >/dev/null 2>&1 || skip "there is no node here"
if [ ! -x node_modules/.bin/eslint ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --silent --no-audit --no-fund || skip "npm could not install eslint"
fi
npx --no-install eslint --max-warnings 0 demo/page langtrack_lab/report
