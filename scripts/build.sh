# Configuring, building and testing a preset. Sourced by run, test, lint and .ci/run, from the top of the tree.

pagoda_jobs=${PAGODA_JOBS:-$(nproc)}

# pagoda_configure PRESET [CMAKE ARGUMENT]...
pagoda_configure() {
  local preset=$1 log=build/$1/configure.log
  mkdir -p "build/$preset"
  if ! cmake --preset "$@" >"$log" 2>&1; then
    cat "$log" >&2
    pagoda_die "configuring the preset $preset failed (above)"
  fi
}

# pagoda_build PRESET [TARGET]...: without a target, everything. On a terminal Ninja shows its progress; in a pipe only what fails.
pagoda_build() {
  local preset=$1 target targets=() quiet=()
  shift
  [[ -t 1 ]] || quiet=(-- --quiet)
  for target in "$@"; do targets+=(--target "$target"); done
  cmake --build --preset "$preset" -j "$pagoda_jobs" "${targets[@]}" "${quiet[@]}"
}

# Prints "name: reason" for each test that CTest's log says was skipped.
pagoda_skipped_tests() {
  awk '
    / Testing: / { name = $0; sub(/.* Testing: /, "", name); reason = ""; next }
    /: Skipped$/ { in_reason = 1; next }
    /^\[  SKIPPED \]/ && name != "" { print "  " name ": " (reason == "" ? "says no reason" : reason); name = ""; in_reason = 0; next }
    in_reason && NF { reason = reason (reason == "" ? "" : " ") $0; next }
    in_reason { in_reason = 0 }
  ' "$1"
}

# pagoda_ctest PRESET [CTEST ARGUMENT]...: CTest ends with times and, after a failure, with a list of names; what was skipped and
# the summary are repeated below them.
pagoda_ctest() {
  local preset=$1 log=build/$1/test.log status=0 skipped
  shift
  ctest --preset "$preset" -j "$pagoda_jobs" "$@" 2>&1 | tee "$log" || status=$?
  skipped=$(
    pagoda_skipped_tests "build/$preset/Testing/Temporary/LastTest.log"
    disabled=$(grep -c 'Not Run (Disabled)' "$log" || true)
    [[ $disabled -eq 0 ]] || echo "  $disabled tests that are disabled in their source, where it is said why"
  )
  [[ -z $skipped ]] || printf 'Skipped:\n%s\n' "$skipped"
  grep -E '^[0-9]+% tests passed' "$log" | tail -n 1 || pagoda_die "CTest did not end (see $log)"
  return "$status"
}
