#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A filesystem with realtime groups: recovery is refused by name, looking is not, and pass 2 alone, left to a kernel, does what it does without
# them. Nothing here can make such a filesystem; shipped/metadir.img.zst becomes one in its superblock, as far as the tool looks. No mount, no root.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

replay=${XFS_REPLAY:?} tools=${IMAGE_TOOLS:?}

for program in zstd xfs_db; do
  command -v $program >/dev/null || skip "$program is not installed"
done
trap put_away EXIT
work=$(mktemp -d "$(roomy_directory)/xfs-rtgroups.XXXXXX")
zstd -q -d --sparse --long=29 "$(dirname "$0")/shipped/metadir.img.zst" -o "$work/without"
cp --sparse=always "$work/without" "$work/img"

# Fields that xfs_db does not know: rgcount, rgextents, rgblklog; then those that it does, with the checksum.
printf '\0\0\0\1\0\1\0\0\20' | dd of="$work/img" bs=1 seek=272 conv=notrunc status=none
xfs_db -x -c 'sb 0' -c 'write -d rblocks 65536' -c 'write -d rextents 65536' "$work/img" >"$work/said" 2>&1
cp --sparse=always "$work/img" "$work/before"

run() { # EXPECTED-STATUS ARGUMENT...
  local rc=0
  "$replay" "${@:2}" >"$work/said" 2>&1 || rc=$?
  [ "$rc" = "$1" ] || fail "xfs_replay ${*:2}: exit $rc, expected $1: $(cat "$work/said")"
}

run 1 "$work/img"
grep -q 'realtime groups (feature metadir.*mount it on a kernel that has them' "$work/said" || fail "refused: $(cat "$work/said")"
run 1 --until-bad "$work/img"
run 2 -n "$work/img"
grep -q '^left for the kernel: 4 unfinished intents' "$work/said" || fail "-n: $(cat "$work/said")"
run 2 --tree "$work/img"
[ "$(grep -c '^-.* /m' "$work/said")" -gt 20 ] || fail "--tree: $(head -5 "$work/said")"
cmp "$work/before" "$work/img" || fail "something was written"
run 2 --pass2-only "$work/img"
run 2 --pass2-only "$work/without"
"$tools/imgdiff" "$work/without" "$work/img" >"$work/diff" || [ $? = 1 ] || fail "imgdiff"
[ "$(grep '^sector' "$work/diff" | cut -d' ' -f2)" = 0 ] || fail "pass 2: $(cat "$work/diff")"
run 0 "$work/without"
echo "realtime groups: looked at, replayed, and completed by nobody"
