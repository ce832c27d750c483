#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: run-foreign.sh NAME
#
# Replays shipped/NAME.img.zst, which this machine's kernel cannot recover or not even mount, and compares the result with what the
# kernel that wrote it made of it (NAME.answer.zst, a patch for the former), sector by sector: the log and what closes it apart, they must be
# equal to the last bit, inodes that were open when they were unlinked included. No mount, no root.

# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

tools=${IMAGE_TOOLS:?}
replay=${XFS_REPLAY:?}
shipped=$(dirname "$0")/shipped
name=${1:?}

need zstd
work=$(mktemp -d "${TMPDIR:-/tmp}/xfs-foreign.XXXXXX")
trap 'rm -rf "$work"' EXIT

zstd -q -d --sparse --long=29 "$shipped/$name.img.zst" -o "$work/img"
zstd -q -d --sparse --long=29 --patch-from="$work/img" "$shipped/$name.answer.zst" -o "$work/answer"

# As it will be, before anything is written; and what the other kernel left.
"$replay" --tree "$work/img" >"$work/img.tree" 2>"$work/said" || [ $? = 2 ] || fail "--tree: $(cat "$work/said")"
"$replay" --tree "$work/answer" >"$work/answer.tree" 2>"$work/said" || fail "--tree of the answer: $(cat "$work/said")"
[ "$(wc -l <"$work/answer.tree")" -gt 1000 ] || fail "the tree is not whole"
diff -u "$work/answer.tree" "$work/img.tree" | head -40 >&2
cmp "$work/answer.tree" "$work/img.tree" || fail "the trees differ"

# The log itself: text, JSON and page have what a replay finds.
"$replay" -n "$work/img" >"$work/said" 2>&1 || [ $? = 2 ] || fail "-n: $(cat "$work/said")"
replayed=$(awk '/ items: / { n += $2 } END { print n }' "$work/said")
"$replay" --log "$work/img" >"$work/log" 2>"$work/err" || [ $? = 2 ] || fail "--log: $(cat "$work/err")"
[ "$(grep -c '^    0x' "$work/log")" = "$replayed" ] || fail "--log lists not $replayed items"
"$replay" --log --json "$work/img" >"$work/json" || [ $? = 2 ] || fail "--log --json"
[ "$(grep -c '"type": "' "$work/json")" = "$replayed" ] || fail "--log --json lists not $replayed items"
"$replay" --log=html "$work/img" >"$work/page" 2>"$work/err" || [ $? = 2 ] || fail "--log=html: $(cat "$work/err")"
[ "$(grep -c 'class="active" d="M' "$work/page")" = "$(grep -c '^record.* active' "$work/log")" ] || fail "the page draws other records"

# Extracted from both, the files are the same, and none is lost; attributes of version 4 are only here.
for what in img answer; do
  rc=0
  "$replay" --extract / "$work/$what.files" "$work/$what" >"$work/said" 2>&1 || rc=$?
  [ "$rc" = 0 ] || [ "$rc" = 2 ] || fail "--extract: exit $rc: $(cat "$work/said")"
  "$tools/snapshot" --portable "$work/$what.files" >"$work/$what.txt"
done
cmp "$work/answer.txt" "$work/img.txt" || fail "what was extracted differs"

rc=0
"$replay" "$work/img" || rc=$?
[ "$rc" = 0 ] || fail "xfs_replay: exit $rc"
"$tools/imgdiff" "$work/answer" "$work/img" >&2 || fail "not what the kernel that wrote it made of it"
if command -v xfs_repair >/dev/null; then
  xfs_repair -n -f "$work/img" >"$work/repair" 2>&1 || fail "xfs_repair -n: $(tail -20 "$work/repair")"
fi
echo "$name: equal, $(wc -l <"$work/img.tree") names"
