# Debian packages that Pagoda needs, and how to get them. Sourced by run, test, lint and .ci/run; a word per package.
# Where Debian's names mean nothing, install the same things by hand and set PAGODA_SKIP_DEPS=1.

# Build and run.
pagoda_run_packages=(
  g++ cmake ninja-build pkg-config
  ccache            # The second build, of this tree or another clone, takes seconds.
  libfmt-dev libcli11-dev libtomlplusplus-dev nlohmann-json3-dev
  libxxhash-dev libzstd-dev liblz4-dev
  libarchive-dev libsnappy-dev zlib1g-dev  # Other people's archives and dumps.
  libjs-chart.js    # Inlined in the report.
)

# Building the tests and `pagoda bench`, on top of that.
pagoda_test_build_packages=(
  libgtest-dev libgmock-dev librapidcheck-dev
  libbenchmark-dev robin-map-dev  # `pagoda bench`; a hash map for one of its peers.
)

# Running the tests.
pagoda_test_packages=(
  "${pagoda_test_build_packages[@]}"
  chromium          # Opens the report.
  qemu-user zstd    # Record and pack traces of real programs.
  libz-mingw-w64    # PE32 and PE32+ images, 0.3 MB.
)

# The linters, on top of what builds.
pagoda_lint_packages=(
  git               # What changed since it was linted.
  clang-19 clang-tidy-19 clang-format-19
)

# The sanitizers, on top of run and test.
pagoda_sanitizer_packages=(
  clang-19 libclang-rt-19-dev
  llvm-19           # llvm-symbolizer: line numbers in what the sanitizers report.
)

pagoda_say() { echo "pagoda: $*"; }
pagoda_die() {
  echo "pagoda: $*" >&2
  exit 1
}

# Prints those of the given packages that are not installed.
pagoda_missing() {
  local installed package
  # dpkg-query fails when it knows one of the names not at all; what it prints about the others still counts.
  installed=" $(dpkg-query -W -f '${db:Status-Status}:${Package} ' "$@" 2>/dev/null || true) "
  for package in "$@"; do
    [[ "$installed" == *" installed:$package "* ]] || echo "$package"
  done
}

# apt-get as root: directly, or through sudo. Without a terminal sudo must not ask, it would wait forever.
pagoda_apt_get() {
  local as_root=()
  if [[ $(id -u) -ne 0 ]]; then
    as_root=(sudo)
    [[ -t 0 ]] || as_root+=(-n)
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

# Installs what is missing of the given packages. Says nothing when there is nothing to do.
pagoda_install() {
  [[ -z "${PAGODA_SKIP_DEPS:-}" ]] || return 0
  command -v dpkg-query >/dev/null ||
    pagoda_die "this is no Debian system: install what scripts/deps.sh lists, then set PAGODA_SKIP_DEPS=1"

  local missing
  mapfile -t missing < <(pagoda_missing "$@")
  [[ ${#missing[@]} -gt 0 ]] || return 0
  if [[ $(id -u) -ne 0 ]] && ! command -v sudo >/dev/null; then
    pagoda_die "missing packages, and neither root nor sudo to install them: apt-get install ${missing[*]}"
  fi

  pagoda_say "installing ${missing[*]}"
  local log
  log=$(mktemp)
  if ! { pagoda_apt_get update && pagoda_apt_get install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    pagoda_die "apt-get failed (above); needed: apt-get install ${missing[*]}"
  fi
  rm -f "$log"
}
