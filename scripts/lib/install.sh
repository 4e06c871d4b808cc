# Installs what a clean Debian machine lacks; sourced by the entry scripts. Does nothing when all is there.

root=$(CDPATH= cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)

say() { printf '== %s\n' "$*" >&2; }

# need <program or path> <package>: remembers the package when the program is missing.
missing=()
need() {
  if [[ $1 == /* ]]; then [[ -e $1 ]] || missing+=("$2"); else command -v "$1" >/dev/null || missing+=("$2"); fi
}

# install_packages [compiler]: what every script needs; with `compiler` also what faults of disk and clock are built with.
install_packages() {
  export PATH="$PATH:/usr/sbin:/sbin"
  need dockerd docker.io
  need nft nftables
  need conntrack conntrack
  need /usr/lib/cni/ptp containernetworking-plugins
  need ip iproute2
  need nsenter util-linux
  need busybox busybox-static
  need kubectl kubernetes-client
  if [[ ${1:-} == compiler ]]; then need gcc gcc; need /usr/include/stdio.h libc6-dev; fi
  # The dynamically linked busybox of some installations cannot run alone in an image.
  if command -v busybox >/dev/null && ldd "$(command -v busybox)" >/dev/null 2>&1; then missing+=(busybox-static); fi
  [[ ${#missing[@]} -eq 0 ]] && return
  if [[ $(id -u) != 0 ]]; then
    say "missing: ${missing[*]}; run this script as root, or: apt-get install ${missing[*]}"
    exit 1
  fi
  say "installing from Debian: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

install_modules() {
  command -v npm >/dev/null || { say 'npm is missing; install nodejs (20 or newer) with npm'; exit 1; }
  local stamp="$root/node_modules/.package-lock.json"
  if [[ ! -x $root/node_modules/.bin/node || $root/package-lock.json -nt $stamp ]]; then
    say 'npm ci'
    (cd "$root" && npm ci --no-audit --no-fund --loglevel=error)
    touch "$stamp"
  fi
  export NODE_COMPILE_CACHE="$root/node_modules/.cache/compile"
  [[ -d $NODE_COMPILE_CACHE ]] || "$root/node_modules/.bin/node" "$root/scripts/lib/warm.ts"
}

# Runs a TypeScript file with the pinned Node runtime.
run_node() { PATH="$root/node_modules/.bin:$PATH" exec "$root/node_modules/.bin/node" "$@"; }
