#!/usr/bin/env bash
# The parts of ./lint.
#
#   scripts/lint.sh format                    clang-format, changing nothing
#   scripts/lint.sh format-fix                clang-format, in place
#   scripts/lint.sh sources [COMMIT]          prints the sources to lint, no tests: all, or those that changed since COMMIT, and for
#                                             each header that changed one source that includes it
#   scripts/lint.sh headers [COMMIT]          prints the headers to check: all, or those that changed since COMMIT
#   scripts/lint.sh tidy BUILD [FILE]...      clang-tidy over these files; clang's warnings and its lock analysis are part of it
#   scripts/lint.sh alone BUILD [FILE]...     each of these headers compiles alone, without a warning
#
# BUILD is a build directory of the preset `lint`: it has the compile commands, without precompiled headers, and what is generated.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command=${1:-}
jobs=${PAGODA_JOBS:-$(nproc)}
version=19

# Our files below the given folders, sorted.
files() {
  local pattern=$1
  shift
  find "$@" -type f -regextype posix-extended -regex "$pattern" | sort
}
all_sources() { files '.*\.cpp' src bench fuzz | grep -v '_test\.cpp$'; }
all_headers() { files '.*\.h' src bench fuzz | grep -v '/qemu_plugin_api\.h$'; }

# Those of the files on standard input that changed since a commit; untracked ones count as changed.
changed_since() {
  grep -Fxf <({ git diff --name-only --diff-filter=d "$1" --; git ls-files --others --exclude-standard; } | sort -u) || true
}

# For a header, the source that shows its defects: its own, or else the first that includes it.
source_of() {
  local own=${1%.h}.cpp name=${1#src/}
  if [[ -e $own ]]; then
    echo "$own"
  else
    all_sources | xargs grep -lF "#include \"$name\"" | head -n 1 || true
  fi
}

sources() {
  if [[ -z ${1:-} ]]; then
    all_sources
    return
  fi
  {
    all_sources | changed_since "$1"
    local header
    while read -r header; do source_of "$header"; done < <(all_headers | changed_since "$1")
  } | sort -u
}

headers() {
  if [[ -z ${1:-} ]]; then all_headers; else all_headers | changed_since "$1"; fi
}

format() {
  files '.*\.(h|cpp)' src tests bench fuzz examples cmake |
    xargs -r -d '\n' "clang-format-$version" --style=file "$@"
}

# clang-tidy over one file, unless the same text was clean before: a stamp is named after the preprocessed text, the
# configuration and the tool.
tidy_one() {
  local build=$1 file=$2 key stamp
  key=$({
    "clang++-$version" -std=c++23 -E -C -I src -I . -I "$build/generated" "$file"
    cat .clang-tidy
    echo "${PAGODA_TIDY_CHECKS:-}"
    "clang-tidy-$version" --version
  } | sha256sum | cut -d ' ' -f 1)
  stamp=$build/clean/$key
  [[ ! -e $stamp ]] || return 0
  "clang-tidy-$version" --quiet --checks="${PAGODA_TIDY_CHECKS:-}" -p "$build" "$file" 2> >(grep -v ' warnings\? generated\.$' >&2)
  mkdir -p "$build/clean"
  touch "$stamp"
}

tidy() {
  local build=$1
  shift
  [[ $# -eq 0 ]] || printf '%s\0' "$@" | xargs -0 -n 1 -P "$jobs" "$0" tidy-one "$build"
}

# NDEBUG is off: the run-time checks of debug builds are code, too.
alone() {
  local build=$1
  shift
  [[ $# -eq 0 ]] || printf '%s\0' "$@" | xargs -0 -n 4 -P "$jobs" "clang++-$version" -x c++ -std=c++23 -fsyntax-only -I src -I . \
    -I "$build/generated" -DPAGODA_DCHECKS=1 "-DPAGODA_SOURCE_DIR=\"$PWD\"" -DFMT_SHARED -Wall -Wextra -Wconversion -Wno-sign-conversion \
    -Wshadow -Wno-missing-field-initializers -Wthread-safety -Werror -Wno-pragma-once-outside-header
}

case $command in
  format) format --dry-run -Werror ;;
  format-fix) format -i ;;
  sources) sources "${2:-}" ;;
  headers) headers "${2:-}" ;;
  tidy) tidy "${@:2}" ;;
  tidy-one) tidy_one "$2" "$3" ;;
  alone) alone "${@:2}" ;;
  *)
    sed -n '2,/^set/{/^#/p}' "$0" >&2
    exit 2
    ;;
esac
