#!/usr/bin/env bash
# Follows the Dockerfile with a real engine, buildah, for this machine's platform, and compares what comes out with dist/image. Its base images are not pulled: stand-ins
# of the same names are made here, one of this machine's Go in a file system of busybox, one of the certificates alone. What they lack of the real ones is not
# looked at. The build reads this machine's module and build caches, so that it takes minutes and not a quarter of an hour.
set -euo pipefail
cd "$(dirname "$0")/.."
hack/apt.sh buildah busybox-static ca-certificates jq

version=$1 commit=$2 layout=dist/image
work=$(mktemp -d)
export TMPDIR=$work STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
engine() { buildah --root "$work/storage" --runroot "$work/run" "$@"; }
trap 'engine umount --all >/dev/null 2>&1 || true; rm -rf --one-file-system "$work"' EXIT
printf '{"default": [{"type": "insecureAcceptAnything"}]}' >"$work/policy.json"
printf 'unqualified-search-registries = []\n' >"$work/registries.conf"
export CONTAINERS_REGISTRIES_CONF=$work/registries.conf

fail() { echo "dockerfile-check: $*" >&2; exit 1; }
blob() { echo "$layout/blobs/sha256/${1#sha256:}"; }
commit() { engine commit --quiet --rm --signature-policy "$work/policy.json" "$1" "$2" >/dev/null; }

# The names are those of the Dockerfile: whoever changes one there changes it here.
builder() {
  local container
  mkdir -p "$work/builder"/{bin,etc/ssl/certs,go/pkg/mod,root/.cache/go-build,tmp,usr/local}
  cp "$(command -v busybox)" "$work/builder/bin/"
  for name in sh env; do ln -s busybox "$work/builder/bin/$name"; done
  cp -L /etc/ssl/certs/ca-certificates.crt "$work/builder/etc/ssl/certs/"
  cp -r "$(go env GOROOT)" "$work/builder/usr/local/go"
  container=$(engine from scratch)
  engine add --quiet "$container" "$work/builder" / >/dev/null
  rm -rf "$work/builder"
  engine config --env PATH=/go/bin:/usr/local/go/bin:/bin --env GOPATH=/go --env GOTOOLCHAIN=local --env "GOPROXY=$(go env GOPROXY)" --workingdir /go "$container"
  commit "$container" "$1"
}

# base ARCH NAME
base() {
  local container
  container=$(engine from scratch)
  engine add --quiet "$container" /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ >/dev/null
  engine config --os linux --arch "$1" --user 65532 --workingdir /home/nonroot --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "$container"
  commit "$container" "$2"
}

# files FOLDER: everything in it but the base's certificates, with owner, mode and digest.
files() { (cd "$1" && find . -type f ! -path './etc/*' -printf '%U:%G %m ' -exec sha256sum {} \;) | sort -k4; }

# settled CONFIG: what a container is started with, and what an image says of itself.
settled() { jq -S '{os, architecture, user: .config.User, entrypoint: .config.Entrypoint, cmd: .config.Cmd, labels: (.config.Labels | del(.["io.buildah.version"]))}' "$1"; }

check() {
  local arch=$1 manifest layer container
  base "$arch" gcr.io/distroless/static-debian12:nonroot
  engine build --quiet --pull=never --platform "linux/$arch" --signature-policy "$work/policy.json" -v "$(go env GOMODCACHE):/go/pkg/mod:ro" -v "$(go env GOCACHE):/root/.cache/go-build" \
    --build-arg "VERSION=$version" --build-arg "COMMIT=$commit" -t "localhost/sallyport:$arch" . >/dev/null
  engine inspect --type image "localhost/sallyport:$arch" | jq .OCIv1 >"$work/config"
  container=$(engine from --pull=never --signature-policy "$work/policy.json" "localhost/sallyport:$arch")
  files "$(engine mount "$container")" >"$work/files"

  manifest=$(blob "$(jq -r --arg arch "$arch" '.manifests[] | select(.platform.architecture == $arch).digest' "$(blob "$(jq -r '.manifests[0].digest' $layout/index.json)")")")
  mkdir "$work/$arch"
  for layer in $(jq -r '.layers[].digest' "$manifest"); do tar -xzpf "$(blob "$layer")" --same-owner -C "$work/$arch"; done
  diff <(files "$work/$arch") "$work/files" || fail "$arch: the files above are those of make image (<) and of the Dockerfile (>)"
  diff <(settled "$(blob "$(jq -r .config.digest "$manifest")")") <(settled "$work/config") || fail "$arch: the settings above are those of make image (<) and of the Dockerfile (>)"
  sed "s|^|linux/$arch: |" "$work/files"
}

builder docker.io/library/golang:1.26-bookworm
check "$(dpkg --print-architecture)"
echo "the Dockerfile and make image give the same files, user, entrypoint and labels"
