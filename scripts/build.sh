# Configuring and building a preset. Sourced by run, test and .ci/run, from the top of the tree.

pagoda_jobs=${PAGODA_JOBS:-$(nproc)}

# pagoda_build PRESET [TARGET]...: without a target, everything. On a terminal Ninja shows its progress; in a pipe only what fails.
pagoda_build() {
  local preset=$1 log=build/$1/configure.log target quiet=()
  shift
  mkdir -p "build/$preset"
  if ! cmake --preset "$preset" >"$log" 2>&1; then
    cat "$log" >&2
    pagoda_die "configuring the preset $preset failed (above)"
  fi
  [[ -t 1 ]] || quiet=(-- --quiet)
  local targets=()
  for target in "$@"; do targets+=(--target "$target"); done
  cmake --build --preset "$preset" -j "$pagoda_jobs" "${targets[@]}" "${quiet[@]}"
}
