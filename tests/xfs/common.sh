# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# How a test script ends that has not passed, and what all of them begin with.

set -euo pipefail
export LC_ALL=C

skip() {
  echo "skipped: $*"
  exit 77
}

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# need PROGRAM...: skips without
need() {
  local program
  for program in "$@"; do
    command -v "$program" >/dev/null || skip "$program is not installed"
  done
}
