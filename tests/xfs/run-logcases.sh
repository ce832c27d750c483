#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: run-logcases.sh v5|v4|v1log le|be
#
# Every synthetic log of logcases.c, on a filesystem that mkfs.xfs makes, through xfs_replay itself: exit status, what it says, what was replayed. An
# image whose log is refused must not have changed; a second run must find a clean log, or refuse it as the first did. What is refused as corrupt is salvaged,
# but for logs whose end or owner cannot be told: then, too, a second run must find a clean log. No root, no mount.
#
# Environment: LOGGEN the generator, XFS_REPLAY the tool.

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
export PATH=$PATH:/usr/sbin:/sbin

loggen=${LOGGEN:?}
replay=${XFS_REPLAY:?}
version=${1:?}
order=${2:?}
case $version in
v5) options=() ;;
v4) options=(-m "crc=0") ;;
v1log) options=(-m "crc=0" -l "version=1") ;;
*) fail "unknown version $version" ;;
esac
need mkfs.xfs
work=$(mktemp -d "${TMPDIR:-/dev/shm}/xfs-logcases.XXXXXX")
trap 'rm -rf "$work"' EXIT
img=$work/img

truncate -s 16M "$work/new"
mkfs.xfs -q -f --unsupported -d agcount=1 "${options[@]}" "$work/new" >"$work/said" 2>&1 || fail "mkfs.xfs: $(cat "$work/said")"

# run NAME: the tool; sets $rc
run() {
  rc=0
  timeout 60 "$replay" "$img" >"$work/said" 2>&1 || rc=$?
}

# one NAME STATUS MARKS SAY: false where something is wrong, said
one() {
  local name=$1 status=$2 marks=$3 say=$4 have
  cp --sparse=always "$work/new" "$img"
  "$loggen" "$img" "$name" "$order"
  cp --sparse=always "$img" "$work/before"
  run
  [ "$rc" = "$status" ] || wrong "exit $rc, not $status: $(cat "$work/said")" || return
  [ -z "$say" ] || grep -qF -- "$say" "$work/said" || wrong "not said: $say, but: $(cat "$work/said")" || return
  [ "$status" != 1 ] || cmp "$img" "$work/before" >&2 || wrong "refused, and yet the image was changed" || return
  have=$("$loggen" --marks "$img")
  [ "$have" = "$marks" ] || wrong "marks $have are on the disk, not $marks: $(cat "$work/said")" || return
  [ "$status" = 1 ] || cp --sparse=always "$img" "$work/before"
  mv "$work/said" "$work/said.first"
  run
  [ "$rc" = "$status" ] || wrong "a second run: exit $rc, not $status: $(cat "$work/said")" || return
  case $status in
  0) grep -q 'the log is clean, there is nothing to replay' "$work/said" || wrong "a second run: $(cat "$work/said")" || return ;;
  1) cmp "$work/said.first" "$work/said" >&2 || wrong "a second run says something else" || return ;;
  esac
  if [ "$status" = 2 ]; then
    [ "$("$loggen" --marks "$img")" = "$marks" ] || wrong "a second run: other marks"
  else
    cmp "$img" "$work/before" >&2 || wrong "a second run changed the image"
  fi
}

# salvage NAME: --until-bad on the log as it was; false where something is wrong, said. Counts in $salvaged.
salvage() {
  local name=$1
  cp --sparse=always "$work/new" "$img"
  "$loggen" "$img" "$name" "$order"
  cp --sparse=always "$img" "$work/before"
  rc=0
  timeout 60 "$replay" --until-bad "$img" >"$work/said" 2>&1 || rc=$?
  case $rc in
  1) cmp "$img" "$work/before" >&2 || wrong "--until-bad refused, and yet changed the image" ;;
  8)
    salvaged=$((salvaged + 1))
    grep -q 'nothing from log block\|nothing from here on is replayed\|lost: ' "$work/said" || wrong "--until-bad does not say what is lost: $(cat "$work/said")" || return
    cp --sparse=always "$img" "$work/before"
    run
    grep -q 'the log is clean, there is nothing to replay' "$work/said" || wrong "behind --until-bad: $(cat "$work/said")" || return
    cmp "$img" "$work/before" >&2 || wrong "a run behind --until-bad changed the image"
    ;;
  *) wrong "--until-bad: exit $rc: $(cat "$work/said")" ;;
  esac
}

wrong() {
  echo "FAILED: $name: $*" >&2
  return 1
}

cases=0 corrupt=0 failed=0 salvaged=0
while IFS='|' read -r name status marks kind say; do
  cases=$((cases + 1))
  [ "$kind" = sound ] || corrupt=$((corrupt + 1))
  one "$name" "$status" "$marks" "$say" || failed=$((failed + 1))
  [ "$kind" = sound ] || salvage "$name" || failed=$((failed + 1))
done < <("$loggen" --list "$work/new")
[ "$failed" = 0 ] || fail "$failed of $cases cases"
[ "$cases" -ge 110 ] || fail "only $cases cases"
[ "$corrupt" -ge 50 ] || fail "only $corrupt corrupt cases"
[ $((corrupt - salvaged)) -le 9 ] || fail "only $salvaged of $corrupt corrupt logs were salvaged"
echo "$version, $order: $cases logs, $corrupt of them corrupt, $salvaged salvaged: all as they should be"
