#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: run-rtanswer.sh NAME                  recovers shipped/NAME.img.zst, whose realtime device is shipped/NAME.rt.zst
#        run-rtanswer.sh --answer IMAGE RTDEV  prints the answer for a recovered image: how NAME.answer.zst was made
#
# Filesystems with realtime groups, dirty, with intents of all kinds under way, and what the kernel that wrote them made of them: counters, the records
# of every btree, bitmaps, summaries, mappings, names, contents. No mount, no root: neither kernel nor xfsprogs here need to know such filesystems.

# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

replay=${XFS_REPLAY:?} tools=${IMAGE_TOOLS:?}
shipped=$(dirname "$0")/shipped

need zstd
work=$(mktemp -d "${TMPDIR:-/tmp}/xfs-rtanswer.XXXXXX")
trap 'rm -rf "$work"' EXIT

answer() { # IMAGE RTDEV
  "$tools/rtstate" "$1" || fail "$1 cannot be read as a whole"
  "$replay" -r "$2" --tree "$1" 2>"$work/said" || fail "--tree: $(cat "$work/said")"
  rm -rf "$work/files"
  "$replay" -r "$2" --extract / "$work/files" "$1" >"$work/said" 2>&1 || fail "--extract: $(cat "$work/said")"
  (cd "$work/files" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 cksum)
}

if [ "$1" = --answer ]; then
  answer "$2" "$3"
  exit
fi

zstd -q -d --sparse --long=29 "$shipped/$1.img.zst" -o "$work/img"
zstd -q -d --sparse --long=29 "$shipped/$1.rt.zst" -o "$work/rt"
zstd -q -d "$shipped/$1.answer.zst" -o "$work/answer"
cp --sparse=always "$work/img" "$work/twice"
cp --sparse=always "$work/rt" "$work/rt.before"

run() { # EXPECTED-STATUS ARGUMENT...
  local rc=0
  "$replay" -r "$work/rt" "${@:2}" >"$work/said" 2>&1 || rc=$?
  [ "$rc" = "$1" ] || fail "xfs_replay ${*:2}: exit $rc, expected $1: $(cat "$work/said")"
}

check() { # IMAGE
  answer "$work/$1" "$work/rt" >"$work/ours"
  diff -u "$work/answer" "$work/ours" >"$work/diff" || {
    head -40 "$work/diff" >&2
    fail "$1: not what the kernel that wrote it made of it, in $(grep -c '^[-+]' "$work/diff") lines"
  }
}

run 2 -n "$work/img"
cmp "$work/img" "$work/twice" || fail "-n wrote something"
run 0 "$work/img"
grep '^completed' "$work/said" || fail "nothing was completed: $(cat "$work/said")"
check img
cp --sparse=always "$work/img" "$work/before"
run 0 "$work/img"
cmp "$work/img" "$work/before" || fail "a second run wrote something"

# In two steps, as after a kernel that replayed the log and went down again.
run 2 --pass2-only "$work/twice"
run 0 "$work/twice"
check twice
cmp "$work/rt" "$work/rt.before" || fail "the realtime device was written to"
echo "$1: equal in $(wc -l <"$work/answer") lines"
