#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Salvage of shipped/v4.img.zst, one byte in the middle of whose log is damaged: refused as it is, replayed up to there on request, what is lost
# is named, and xfs_repair makes a filesystem of the rest. No mount, no root.

# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

replay=${XFS_REPLAY:?}
shipped=$(dirname "$0")/shipped
need zstd xfs_repair xfs_db xfs_logprint
work=$(mktemp -d "${TMPDIR:-/tmp}/xfs-salvage.XXXXXX")
trap 'rm -rf "$work"' EXIT
zstd -q -d --sparse --long=29 "$shipped/v4.img.zst" -o "$work/img"

read -r logstart agblklog agblocks < <(xfs_db -r -c 'sb 0' -c 'print logstart agblklog agblocks' "$work/img" | awk '{ print $3 }' | xargs)
at=$((((logstart >> agblklog) * agblocks + (logstart & ((1 << agblklog) - 1))) * 4096 + 3000 * 512 + 100))
printf '\125\252\125' | dd of="$work/img" bs=1 seek=$at conv=notrunc status=none

run() { # EXPECTED-STATUS OPTION...
  local rc=0
  "$replay" "${@:2}" "$work/img" >"$work/said" 2>&1 || rc=$?
  [ "$rc" = "$1" ] || fail "xfs_replay ${*:2}: exit $rc, expected $1: $(head -20 "$work/said")"
}

before=$(sha256sum <"$work/img")
run 1
grep -q -- '--until-bad' "$work/said" || fail "nothing is advised: $(cat "$work/said")"
run 2 --until-bad -n
run 2 --stop-at 1:2000 -n
tail=$(sed -n 's/.*, tail \([0-9]*:[0-9]*\), dirty$/\1/p' "$work/said")
run 2 --stop-at "${tail:?}" -n
grep -q '^replay: 0 transactions' "$work/said" || fail "something was replayed before the tail"
! grep -q 'frozen' "$work/said" || fail "nothing at all is taken for a frozen filesystem"
[ "$before" = "$(sha256sum <"$work/img")" ] || fail "something was written"
run 8 --until-bad
grep -q 'bad checksum: nothing from here on is replayed' "$work/said" || fail "the record is not named"
grep -q 'lost: later changes of inode 128, /$' "$work/said" || fail "the root directory changed, and is not named"
[ "$(grep -c 'lost: ' "$work/said")" -gt 100 ] || fail "the list of what is lost is too short"
xfs_logprint -t "$work/img" 2>&1 | grep -q 'state: <CLEAN>' || fail "the log is not clean"
run 0 -n
xfs_repair -f "$work/img" >"$work/repair" 2>&1 || fail "xfs_repair: $(tail "$work/repair")"
xfs_repair -n -f "$work/img" >"$work/repair" 2>&1 || fail "xfs_repair -n: $(tail "$work/repair")"
