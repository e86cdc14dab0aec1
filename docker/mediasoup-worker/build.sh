#!/usr/bin/env bash
# Builds mediasoup's worker from the source in its npm package, with the libraries that Debian and Ubuntu
# package, for where the prebuilt worker cannot be downloaded. The result is kept outside the checkout, by
# mediasoup version and by a hash of everything that goes into it.
#
#   build.sh <mediasoup package folder>          builds unless built already, prints the binary's path
#   build.sh --path <mediasoup package folder>   prints the path only, whether it exists or not
#   build.sh --packages                          prints the Debian packages that building needs
set -euo pipefail

readonly PACKAGES=(
  g++ ninja-build patch libuv1-dev libssl-dev libsrtp2-dev libabsl-dev flatbuffers-compiler libflatbuffers-dev
)
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
readonly here
cache=${XDG_CACHE_HOME:-$HOME/.cache}/sluice
readonly cache

say() { printf 'mediasoup-worker: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# The worker's exit code when it is started without being told a version: proof that it loads and runs here.
runs() {
  local code=0
  [ -x "$1" ] || return 1
  env -i "$1" >/dev/null 2>&1 || code=$?
  [ "$code" -eq 41 ]
}

version_of() { sed -n 's/^[[:space:]]*"version": *"\([^"]*\)".*/\1/p' "$1/package.json" | head -n 1; }

# Changes whenever the binary would: with the files beside this one, the machine's architecture and the system
# whose libraries are linked.
inputs_hash() {
  local system=unknown
  # shellcheck disable=SC1091
  [ -r /etc/os-release ] && system=$(. /etc/os-release && printf '%s-%s' "${ID:-}" "${VERSION_ID:-}")
  {
    printf '%s %s\n' "$(uname -m)" "$system"
    cat "$here/rules.ninja" "$here"/*.patch "$here/include/srtp.h" "$here/include/ankerl/unordered_dense.h"
  } | sha256sum | cut -c 1-16
}

# Prints the entries of the list `$2` of the meson file `$1`, one a line, all its `=` and `+=` blocks joined.
meson_list() {
  awk -v list="$2" '
    $1 == list && ($2 == "=" || $2 == "+=") { inside = 1; next }
    inside && /^ *\]/ { inside = 0 }
    inside { gsub(/[ \047,]/, ""); if (length) print }
  ' "$1"
}

# Writes the ninja file for the worker source `$1` into the build folder `$2`.
write_ninja() {
  local source=$1 build=$2 endian=-DMS_LITTLE_ENDIAN objects='' file object
  [ "$(printf '\1\0' | od -An -tu2 | tr -d ' ')" = 1 ] || endian=-DMS_BIG_ENDIAN
  {
    printf '%s = %s\n' source "$source" here "$here" scratch "$build" endian "$endian"
    printf 'include %s\n' "$here/rules.ninja"
    while read -r file; do
      object=obj/${file//[^A-Za-z0-9]/_}.o
      objects+=" $object"
      if [ "$file" = src/RTC/DtlsTransport.cpp ]; then
        printf 'build %s: cxx %s\n' "$object" "$build/patched/$file"
      else
        printf 'build %s: cxx %s\n' "$object" "$source/$file"
      fi
    done
    printf 'build mediasoup-worker: link%s\ndefault mediasoup-worker\n' "$objects"
  } >"$build/build.ninja"
}

build() {
  local package=$1 target=$2 source missing build list count
  source=$(cd -- "$package/worker" && pwd -P)
  build=$(dirname -- "$target")/build
  missing=()
  for tool in g++ ninja patch flatc; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  [ ${#missing[@]} -eq 0 ] || die "cannot build, missing: ${missing[*]}. Install: sudo apt-get install -y ${PACKAGES[*]}"

  mkdir -p "$build/obj" "$build/generated" "$build/patched/src/RTC"
  cp "$source/src/RTC/DtlsTransport.cpp" "$build/patched/src/RTC/DtlsTransport.cpp"
  patch --quiet --directory "$build/patched" -p1 <"$here/dtls-bio-callback.patch" ||
    die "dtls-bio-callback.patch does not fit mediasoup $(version_of "$package")"

  # Only when their text changed, so that an interrupted build goes on where it was.
  rm -rf "$build/generated.new"
  flatc --cpp --cpp-field-case-style lower --reflect-names --scoped-enums --filename-suffix '' \
    -o "$build/generated.new/FBS" "$source"/fbs/*.fbs
  if ! diff -rq "$build/generated" "$build/generated.new" >/dev/null 2>&1; then
    rm -rf "$build/generated"
    mv "$build/generated.new" "$build/generated"
  fi

  list=$(
    meson_list "$source/meson.build" common_sources
    echo src/main.cpp
    meson_list "$source/deps/libwebrtc/meson.build" libwebrtc_sources | sed 's|^|deps/libwebrtc/|'
  )
  count=$(wc -l <<<"$list")
  [ "$count" -gt 100 ] || die "found only $count source files in $source/meson.build: its layout has changed"
  write_ninja "$source" "$build" <<<"$list"

  say "building $(version_of "$package") from source: $count files on $(nproc) cores, some minutes"
  # Ninja repaints one line on a terminal; elsewhere only what fails is worth the log.
  if [ -t 2 ]; then
    ninja -C "$build" -j "$(nproc)" >&2
  else
    ninja -C "$build" -j "$(nproc)" --quiet >&2
  fi
  runs "$build/mediasoup-worker" || die "built $build/mediasoup-worker, but it does not run here"
  mv "$build/mediasoup-worker" "$target"
  rm -rf "$build"
}

main() {
  local only_path='' package target version
  case ${1:-} in
    --packages)
      echo "${PACKAGES[*]}"
      return
      ;;
    --path)
      only_path=1
      shift
      ;;
  esac
  [ $# -eq 1 ] || die 'usage: build.sh [--path] <mediasoup package folder> | build.sh --packages'
  package=$1
  [ -f "$package/worker/meson.build" ] || die "no mediasoup package in $package"
  version=$(version_of "$package")
  target=$cache/mediasoup-worker-$version-$(inputs_hash)/mediasoup-worker

  if [ -z "$only_path" ]; then
    mkdir -p "$(dirname -- "$target")"
    # Two builds at once would spoil each other; the second waits and finds the first's result.
    exec 9>"$(dirname -- "$target")/lock"
    flock 9
    runs "$target" || build "$package" "$target"
    say "built for $(uname -m): $target"
    ln -sfn "$target" "$cache/mediasoup-worker"
  fi
  echo "$target"
}

main "$@"
