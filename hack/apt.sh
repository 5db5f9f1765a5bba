#!/usr/bin/env bash
# Makes sure that the named Debian packages are installed: installs what is missing as root on Debian,
# and says exactly what is missing everywhere else. No service is started by it.
# COMMAND:PACKAGE asks for the package only where the command is missing, for programs that people also
# have from elsewhere and whose Debian package would conflict (Node.js brings its own npm).
set -euo pipefail

missing=()
for wanted in "$@"; do
  package=${wanted#*:}
  if [ "$package" != "$wanted" ] && command -v "${wanted%%:*}" >/dev/null; then continue; fi
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
  echo "Missing: ${missing[*]}. Install them, on Debian with: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi

echo "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# Packages of daemons must not start them: the tests run their own, on their own ports.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
