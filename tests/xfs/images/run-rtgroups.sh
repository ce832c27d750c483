#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Realtime groups that are damaged: what else there is in the filesystem is recovered as if there were none, and said to be all. Pass 2 alone, left to
# a kernel, does the same with them as without. shipped/metadir.img.zst gets such groups in its superblock, and no files for them. Last, a label that
# the log changes. No mount, no root.

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

files() { # IMAGE TO: the tree of an image, and where the files' blocks are
  run 0 --tree "$1"
  grep '^[-dl][-r]' "$work/said" >"$2"
}

run 2 -n "$work/img"
grep -q '^completed: 4 intents, 9 unlinked inodes' "$work/said" || fail "-n: $(cat "$work/said")"
cmp "$work/before" "$work/img" || fail "something was written"
run 2 --pass2-only "$work/img"
cp --sparse=always "$work/without" "$work/whole"
run 2 --pass2-only "$work/without"
"$tools/imgdiff" "$work/without" "$work/img" >"$work/diff" || [ $? = 1 ] || fail "imgdiff"
[ "$(grep '^sector' "$work/diff" | cut -d' ' -f2)" = 0 ] || fail "pass 2: $(cat "$work/diff")"
mv "$work/before" "$work/img"
run 8 "$work/img"
grep -q 'there are 0 files for 1 realtime groups' "$work/said" || fail "damage: $(cat "$work/said")"
grep -q '1 groups are damaged: the superblock' "$work/said" || fail "counters: $(cat "$work/said")"
grep -q '^completed: 4 intents, 9 unlinked inodes' "$work/said" || fail "completion: $(cat "$work/said")"
run 0 "$work/whole"
files "$work/img" "$work/ours"
files "$work/whole" "$work/theirs"
[ "$(wc -l <"$work/theirs")" -gt 20 ] || fail "--tree: $(head -5 "$work/theirs")"
diff -u "$work/theirs" "$work/ours" >&2 || fail "the groups' damage reached other files"
# The log of a filesystem that grew has its label too, which cannot be put in front of the realtime device.
zstd -q -d --sparse --long=29 "$(dirname "$0")/shipped/rtgrow.img.zst" -o "$work/grow"
xfs_db -x -c 'sb 0' -c 'write -d fname "before"' "$work/grow" >"$work/said" 2>&1
grep -q before "$work/said" || fail "no other label: $(cat "$work/said")"
run 8 "$work/grow"
grep -q 'the log gives it another label' "$work/said" || fail "label: $(cat "$work/said")"
run 0 "$work/grow"
echo "damaged realtime groups: equal in $(wc -l <"$work/ours") files"
