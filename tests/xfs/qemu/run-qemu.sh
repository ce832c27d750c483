#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: run-qemu.sh NAME
#
# Recovers shipped/NAME, checks it with xfs_repair -n, and then has a kernel of its own, in QEMU, mount it and list every name: the list must be that
# of xfs_replay --tree. For images that this machine's kernel cannot mount (V4), or that would kill it if our recovery were wrong.

# shellcheck source-path=SCRIPTDIR source=machine.sh
. "$(dirname "$0")/machine.sh"

replay=${XFS_REPLAY:?}
shipped=$(dirname "$0")/../images/shipped
name=${1:?}
need_machine zstd

if [ -e "$shipped/$name.img.xz" ]; then
  xz -dc "$shipped/$name.img.xz" >"$work/img"
else
  zstd -q -d --sparse --long=29 "$shipped/$name.img.zst" -o "$work/img"
fi

"$replay" "$work/img" || fail "xfs_replay: exit $?"
"$replay" -n "$work/img" | grep -q 'log is clean' || fail "the log is not clean"
xfs_repair -n -f -o force_geometry "$work/img" >"$work/repair" 2>&1 || fail "xfs_repair -n: $(tail -20 "$work/repair")"
"$replay" --tree "$work/img" 2>"$work/said" >"$work/tree" || fail "--tree: $(cat "$work/said")"

printf 'mount /dev/vdb ro\nlist\nunmount\n' | boot 150 -- "$work/img"

# MODE NLINK UID GID SIZE MTIME INO PATH[ -> TARGET], without the root; the image's names have no blanks.
awk '$8 != "/" { print $7, $8 }' "$work/tree" | sort >"$work/ours"
grep -v '^END$' "$work/text" | sort >"$work/theirs"
[ "$(wc -l <"$work/ours")" -gt 1000 ] || fail "the tree is not whole"
diff -u "$work/ours" "$work/theirs" | head -40 >&2
cmp "$work/ours" "$work/theirs" || fail "the kernel sees other names"
echo "$name: the kernel lists the same $(wc -l <"$work/theirs") names"
