#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: check-table.sh GEOMETRIES
#
# The table of images keeps its breadth: so many different ones that a kernel recovers too, so many of each class. That a row leaves behind
# what it is for, run-image.sh sees to.

set -euo pipefail
table=${1:?}

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

rows=$(grep -c '^[a-z0-9-]* |.*|.*|.*|' "$table")
[ "$rows" = "$(grep -cv -e '^#' -e '^$' "$table")" ] || fail "a row of $table is not five columns"
[ "$(grep -v -e '^#' -e '^$' "$table" | cut -d'|' -f1 | sort | uniq -d | wc -l)" = 0 ] || fail "a name stands twice"
[ "$(grep -v -e '^#' -e '^$' "$table" | cut -d'|' -f2- | tr -s ' ' | sort | uniq -d | wc -l)" = 0 ] || fail "two rows make the same image"

# count CLASS MINIMUM
count() {
  local n
  n=$(grep -v '^#' "$table" | cut -d'|' -f2 | grep -cw -e "$1" || true)
  [ "$n" -ge "$2" ] || fail "only $n rows that leave behind: $1"
  printf '%s %s, ' "$n" "$1"
}

alone=$(grep -v '^#' "$table" | cut -d'|' -f2 | grep -cw -e alone -e scattered)
[ $((rows - alone)) -ge 60 ] || fail "only $((rows - alone)) rows to compare with the kernel's recovery"
printf '%s images, %s of them compared with a kernel: ' "$rows" $((rows - alone))
count intents 20
count unlinked 12
count wrapped 6
count lost 6
count cow 4
echo
