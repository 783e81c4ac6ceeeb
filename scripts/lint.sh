#!/usr/bin/env bash
# What the lint tests run (CTest label lint).
#
#   scripts/lint.sh format                      clang-format, changing nothing
#   scripts/lint.sh format-fix                  clang-format, in place
#   scripts/lint.sh tidy [BUILD] [FILE]...      clang-tidy over all sources that are no tests, or over these files
#   scripts/lint.sh thread-safety [BUILD]       clang's lock analysis over every header and source below src; also proves that
#                                               each header compiles alone and that clang accepts what g++ builds
#
# BUILD is a configured build directory; it has the compile commands and the generated headers. Default: build/release.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command=${1:-}
build=${2:-build/release}
jobs=${PAGODA_JOBS:-2}
version=19

# Our files below the given folders, sorted, separated by zeros. Folders that do not exist yet have none.
files() {
  local pattern=$1 folder
  shift
  for folder in "$@"; do
    [[ ! -d $folder ]] || find "$folder" -type f -regextype posix-extended -regex "$pattern" -print0
  done | sort -z
}

format() {
  files '.*\.(h|cpp)' src tests bench fuzz examples cmake | xargs -0 -r "clang-format-$version" --style=file "$@"
}

# clang-tidy over one file, unless the same text was clean before: a stamp is named after the preprocessed text, the
# configuration and the tool.
tidy_one() {
  local file=$1 key stamp
  local flags=(-Wno-unknown-warning-option -Wno-sign-conversion)  # The compile commands are g++'s.
  key=$({
    "clang++-$version" -std=c++23 -E -C -I src -I . -I "$build/generated" "$file"
    cat .clang-tidy
    "clang-tidy-$version" --version
  } | sha256sum | cut -d ' ' -f 1)
  stamp=$build/lint/$key
  [[ ! -e $stamp ]] || return 0
  "clang-tidy-$version" --quiet -p "$build" "${flags[@]/#/--extra-arg=}" "$file" 2> >(grep -v ' warnings\? generated\.$' >&2)
  mkdir -p "$build/lint"
  touch "$stamp"
}

tidy() {
  if [[ $# -gt 0 ]]; then
    printf '%s\0' "$@"
  else
    files '.*\.cpp' src bench fuzz | grep -zv '_test\.cpp$'
  fi | xargs -0 -r -n 1 -P "$jobs" "$0" tidy-one "$build"
}

# NDEBUG is off: the run-time checks of debug builds are code, too.
thread_safety() {
  files '.*\.(h|cpp)' src | xargs -0 -r -n 4 -P "$jobs" "clang++-$version" -x c++ -std=c++23 -fsyntax-only -I src -I . \
    -I "$build/generated" "-DPAGODA_SOURCE_DIR=\"$PWD\"" -Wall -Wextra -Wconversion -Wno-sign-conversion -Wshadow -Wno-missing-field-initializers \
    -Wthread-safety -Werror -Wno-pragma-once-outside-header
}

case $command in
  format) format --dry-run -Werror ;;
  format-fix) format -i ;;
  tidy) tidy "${@:3}" ;;
  tidy-one) tidy_one "$3" ;;
  thread-safety) thread_safety ;;
  *)
    sed -n '2,/^set/{/^#/p}' "$0" >&2
    exit 2
    ;;
esac
