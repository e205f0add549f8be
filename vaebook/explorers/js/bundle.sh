#!/bin/sh
# Bundles NAME.mjs and what it imports into NAME.js, one text, as a notebook needs it: `sh bundle.sh explorers`. Needs node.
# The first line names the sources and the SHA-256 of all of them, so that a test can tell whether the text is theirs.
set -eu
cd "$(dirname "$0")"
esbuild="npx --yes esbuild@0.28.2 $1.mjs --bundle --format=esm --charset=utf8 --log-level=error"
sources=$($esbuild | sed -n 's|^// \(.*\.mjs\)$|\1|p')
digest=$(cat $sources | openssl dgst -sha256 -r | cut -c1-64)
$esbuild --minify --banner:js="// $(echo $sources), SHA-256 $digest" --outfile="$1.js"
