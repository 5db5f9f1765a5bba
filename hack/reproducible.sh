#!/usr/bin/env bash
# Builds the programs, the image and the bill of materials twice: in folders of other names and depths, from empty build caches, with another
# time zone, language and umask. The digests have to be the same.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
version=$(git describe --tags --always --dirty)
commit=$(git rev-parse HEAD)
committed=$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ)

# build FOLDER: the checkout as it is, without .git.
build() {
  mkdir -p "$1"
  git ls-files -z --cached --others --exclude-standard | tar --null -T - -c | tar -x -C "$1"
  GOCACHE=$1/.cache make --no-print-directory -C "$1" image sbom IMAGE_TAR="$1/image.tar" VERSION="$version" COMMIT="$commit" COMMITTED="$committed" >&2
  (cd "$1" && sha256sum bin/* image.tar dist/sallyport.spdx.json)
}

build "$work/a" >"$work/first"
rm -rf "$work/a"
(umask 027 && export TZ=Pacific/Auckland LC_ALL=C && build "$work/another/checkout/with a blank" >"$work/second")
cat "$work/first"
diff "$work/first" "$work/second" && echo "two builds, the same bytes"
