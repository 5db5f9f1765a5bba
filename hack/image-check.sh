#!/usr/bin/env bash
# Takes dist/image as a registry's client does and runs the programs of every platform in it, those of another one under qemu-user: what they say their
# version is, and a service provider that compiles the samples, opens SQLite, becomes ready and answers a check. It runs as the image's user, who may
# write to nothing but the store's folder and /tmp.
set -euo pipefail
cd "$(dirname "$0")/.."
hack/apt.sh ca-certificates curl jq skopeo qemu-user

version=$1 commit=$2 layout=dist/image
work=$(mktemp -d)
provider=
trap '[ -z "$provider" ] || kill "$provider" 2>/dev/null || true; rm -rf "$work"' EXIT
chmod 755 "$work"

fail() { echo "image-check: $*" >&2; exit 1; }
blob() { echo "$layout/blobs/sha256/${1#sha256:}"; }
equals() { [ "$2" = "$3" ] || fail "$1 is $2, want $3"; }

# runs PLATFORM PROGRAM ARGUMENTS: as the image's user, without a capability.
runs() {
  local arch=$1 program=$2 emulator=()
  shift 2
  [ "$arch" = "$(dpkg --print-architecture)" ] || emulator=("qemu-$(sed 's/amd64/x86_64/; s/arm64/aarch64/' <<<"$arch")")
  exec setpriv --reuid=65532 --regid=65532 --clear-groups --bounding-set=-all --no-new-privs env -i HOME=/ "${emulator[@]}" "$work/$arch/$program" "$@"
}

# answers STATUS URL: within half a minute, since an emulator is slow to start.
answers() {
  local status
  for _ in $(seq 300); do
    kill -0 "$provider" 2>/dev/null || break
    status=$(curl -s -o "$work/answer" -w '%{http_code}' -H 'Host: sso.example.com' "$2" || true)
    [ "$status" != "$1" ] || return 0
    sleep 0.1
  done
  cat "$work/log" >&2
  fail "$2 answers ${status:-nothing}, want $1"
}

check() {
  local arch=$1 manifest config said public=127.0.78.1:8080 management=127.0.78.1:8081
  manifest=$(blob "$2")
  config=$(blob "$(jq -r .config.digest "$manifest")")
  equals "the platform" "$(jq -r '.os + "/" + .architecture' "$config")" "linux/$arch"
  equals "the user" "$(jq -r .config.User "$config")" 65532:65532
  equals "what it starts" "$(jq -c .config.Entrypoint "$config")" '["/operator"]'
  equals "the version's label" "$(jq -r '.config.Labels["org.opencontainers.image.version"]' "$config")" "$version"
  equals "the commit's label" "$(jq -r '.config.Labels["org.opencontainers.image.revision"]' "$config")" "$commit"

  mkdir "$work/$arch"
  for layer in $(jq -r '.layers[].digest' "$manifest"); do tar -xzpf "$(blob "$layer")" --same-owner -C "$work/$arch"; done
  equals "what others than root may change, or becomes root" "$(find "$work/$arch" -mindepth 1 ! -type l \( ! -user root -o -perm /6022 \) -printf '%P ')" "tmp "

  for program in operator serviceprovider kubectl-sso; do
    said=$(runs "$arch" "$program" --version)
    equals "$arch: the version of $program" "${said##*version }" "$version ($commit)"
  done

  install -d -o 65532 -g 65532 "$work/state-$arch"
  (runs "$arch" kubectl-sso render -o "$work/state-$arch/snapshot" "$work/samples" >/dev/null)
  runs "$arch" serviceprovider --snapshot-dir "$work/state-$arch/snapshot" --store "sqlite://$work/state-$arch/store.db" --listen $public --management-listen $management \
    >"$work/log" 2>&1 &
  provider=$!
  answers 200 http://$management/readyz
  answers 401 http://$public/authz/nginx
  answers 200 http://$public/signin
  answers 200 http://$management/metrics
  grep -qF "sso_build_info{commit=\"$commit\",version=\"$version\"} 1" "$work/answer" || fail "$arch: the metrics do not say the version"
  kill -TERM "$provider"
  wait "$provider" || fail "$arch: the service provider ends with $?: $(cat "$work/log")"
  provider=
  echo "linux/$arch: $(sha256sum <"$manifest" | cut -c1-12) version, user, labels and files; ready, signs in and checks with SQLite"
}

cp -r config/samples "$work/samples"
index=$(jq -r '.manifests[0].digest' $layout/index.json)
skopeo copy --quiet --all oci:$layout "dir:$work/copied"
digests='.manifests[] | .platform.architecture + " " + .digest' # skopeo may write the index itself anew
platforms=$(jq -r "$digests" "$(blob "$index")")
equals "what a registry then has" "$(jq -r "$digests" "$work/copied/manifest.json")" "$platforms"
equals "the platforms" "$(cut -d' ' -f1 <<<"$platforms" | xargs)" "amd64 arm64"
while read -r arch digest; do check "$arch" "$digest"; done <<<"$platforms"
