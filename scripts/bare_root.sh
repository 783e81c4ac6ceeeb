#!/usr/bin/env bash
# Runs a command in a bare Debian: what debootstrap makes, with nothing of this machine in it but a copy of this tree.
#
#   scripts/bare_root.sh RELEASE [COMMAND [ARGUMENT]...]
#
# RELEASE is bookworm (Debian 12) or trixie (13). The root is made once and kept in the cache folder; each command gets a fresh copy
# of it, so that what the command installs is installed every time. The tree lies at /pagoda there, without what builds left in it.
# Kept between commands, because they only save time: downloaded packages and the compiler cache.
# Without a command: makes the root and no more. Needs debootstrap, and root's rights: run by another user, it asks sudo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/deps.sh

release=${1:?usage: scripts/bare_root.sh RELEASE [COMMAND [ARGUMENT]...]}
shift
cache=${PAGODA_ROOT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pagoda}
compiler_cache=${CCACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ccache}
root=$cache/bare-$release

if [[ $(id -u) -ne 0 ]]; then
  command -v sudo >/dev/null || pagoda_die "a bare root needs root's rights, and there is no sudo"
  exec sudo -n env "PAGODA_ROOT_CACHE=$cache" "CCACHE_DIR=$compiler_cache" "PAGODA_EFFORT=${PAGODA_EFFORT:-}" \
    "PAGODA_JOBS=${PAGODA_JOBS:-}" "$PWD/scripts/bare_root.sh" "$release" "$@"
fi

# Where this machine gets Debian from.
mirror() {
  local uri
  uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 2>/dev/null | head -n 1)
  echo "${uri:-http://deb.debian.org/debian}"
}

make_root() {
  pagoda_install debootstrap
  mkdir -p "$cache"
  local new
  new=$(mktemp -d "$cache/new-$release.XXXXXX")
  if ! debootstrap --variant=minbase "$release" "$new" "$(mirror)" >"$new.log" 2>&1; then
    tail -n 20 "$new.log" >&2
    rm -rf "$new" "$new.log"
    pagoda_die "debootstrap could not make a bare $release (above)"
  fi
  # How this machine reaches the mirror: proxies, and whether it believes its clock.
  apt-config dump | grep -E '^Acquire::(https?::|ftp::|Check-|Retries)' >"$new/etc/apt/apt.conf.d/90host" || true
  echo force-unsafe-io >"$new/etc/dpkg/dpkg.cfg.d/90host"  # A root that is thrown away need not survive a power failure.
  chmod 755 "$new"
  rm -f "$new.log" "$new"/var/cache/apt/archives/*.deb
  mv "$new" "$root"
}

# In a mount and process namespace of its own: what is mounted and started ends with it.
run_inside() {
  mkdir -p "$cache/packages-$release/partial" "$compiler_cache"
  find "$cache" -maxdepth 1 -name 'work.*' -mtime +1 -exec rm -rf --one-file-system {} +  # Of commands that were killed.
  local work
  work=$(mktemp -d "$cache/work.XXXXXX")
  mkdir "$work/upper" "$work/overlay" "$work/root"
  local status=0
  pagoda_root=$root pagoda_work=$work pagoda_packages=$cache/packages-$release pagoda_compiler_cache=$compiler_cache \
    unshare --mount --pid --fork --kill-child bash -c '
      set -euo pipefail
      mount --make-rprivate /
      inside=$pagoda_work/root
      mount -t overlay pagoda -o "lowerdir=$pagoda_root,upperdir=$pagoda_work/upper,workdir=$pagoda_work/overlay" "$inside" 2>/dev/null ||
        cp -a --reflink=auto "$pagoda_root/." "$inside"
      mkdir -p "$inside/pagoda" "$inside/root/.cache/ccache"
      if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from=- --ignore-failed-read 2>/dev/null
      else
        tar --create --exclude=./build --exclude=./out .
      fi | tar --extract --no-same-owner --directory="$inside/pagoda"
      cp --dereference /etc/resolv.conf "$inside/etc/resolv.conf" 2>/dev/null || true
      mount -t proc proc "$inside/proc"
      mount --rbind /dev "$inside/dev"
      mount --rbind /sys "$inside/sys"
      mount -t tmpfs tmpfs "$inside/run"
      mount --bind "$pagoda_packages" "$inside/var/cache/apt/archives"
      mount --bind "$pagoda_compiler_cache" "$inside/root/.cache/ccache"
      exec env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb LANG=C.UTF-8 \
        PAGODA_EFFORT="$1" PAGODA_JOBS="$2" chroot "$inside" sh -c "cd /pagoda && exec \"\$@\"" inside "${@:3}"
    ' bare "${PAGODA_EFFORT:-}" "${PAGODA_JOBS:-}" "$@" </dev/null || status=$?
  rm -rf --one-file-system "$work"
  return "$status"
}

[[ -d $root ]] || make_root
[[ $# -eq 0 ]] || run_inside "$@"
