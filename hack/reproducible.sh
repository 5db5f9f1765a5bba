#!/usr/bin/env bash
# Builds the image and the bill of materials of both platforms twice: once as everybody does, with what this machine has in its build cache, and once from
# nothing, in a folder of another name and depth, with another time zone, language and umask. The digests have to be the same.
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
  make --no-print-directory -C "$1" build image-layout sbom VERSION="$version" COMMIT="$commit" COMMITTED="$committed" >&2
  (cd "$1" && find bin dist -type f -print0 | sort -z | xargs -0 sha256sum)
}

build "$work/a" >"$work/first"
rm -rf "$work/a"
(umask 027 && export GOCACHE=$work/cache TZ=Pacific/Auckland LC_ALL=C && build "$work/another/deeper/checkout" >"$work/second")
cat "$work/first"
diff "$work/first" "$work/second" && echo "two builds, the same bytes"
