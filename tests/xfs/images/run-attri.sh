#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: run-attri.sh MKFS-OPTIONS
#
# Attribute intents (ATTRI), which no kernel without XFS_DEBUG leaves: written behind a clean log (addintents), over files with attributes in
# every form. The kernel's recovery of them is the answer: the same names and values, a new ctime where it makes one, and the same change counts: of all
# in one recovery, and of each in a recovery of its own. Where in the fork they are may differ.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

tools=${IMAGE_TOOLS:?} replay=${XFS_REPLAY:?}
need_kernel
command -v setfattr >/dev/null || skip "setfattr is not installed"

D=$work/dirty
mkdir "$D"
truncate -s 320M "$D/img"
# shellcheck disable=SC2086
mkfs.xfs -q -f $1 "$D/img"
mount_image "$D" rw
dir=$work/mnt
long=$(printf 'v%.0s' $(seq 200))
declare -A ino
for file in none short lent leaf node values; do
  : >"$dir/$file"
  ino[$file]=$(stat -c %i "$dir/$file")
done
ln -s "$long" "$dir/link"
mkdir "$dir/directory"
ino[link]=$(stat -c %i "$dir/link")
ino[directory]=$(stat -c %i "$dir/directory")
setfattr -n user.old -v 1 "$dir/short"
setfattr -n user.old -v "${long::180}" "$dir/lent" # so long that the data fork lends room
setfattr -h -n trusted.old -v 1 "$dir/link"
for i in $(seq 6); do
  setfattr -n "user.some$i" -v "$long" "$dir/leaf"
  setfattr -n "user.value$i" -v "$(printf "$long%.0s" $(seq 30))" "$dir/values"
done
{
  echo "# file: node"
  for i in $(seq 300); do echo "user.many$i=\"$long\""; done
} | (cd "$dir" && setfattr --restore=-)
unmount_image

snapshot_image "$D" "$D.txt"

attri() { # OP FILE NAMESPACE NAME SIZE
  echo "attri $1 ${ino[$2]} $3 $4 $5 $((${#4} + $5))"
}
all() {
  attri 1 none 0 first 10
  attri 1 short 0 second 20
  attri 3 short 0 old 60000
  attri 1 lent 0 more 200
  attri 1 leaf 4 secure 100
  attri 1 leaf 2 trusted 0
  attri 2 leaf 0 some2 0
  attri 1 leaf 0 large 5000
  attri 3 node 0 many7 30
  attri 1 node 0 another 65536
  for i in 20 21 22 250; do attri 2 node 0 many$i 0; done
  attri 2 node 0 missing 0
  for i in $(seq 6); do attri 2 values 0 "value$i" 0; done
  attri 1 link 2 on-a-link 40
  attri 1 directory 0 on-a-directory 300
}
# What takes other ways through the forms.
others() {
  attri 2 none 0 missing 0
  attri 1 none 0 large 70
  attri 1 none 0 large 5000
  attri 1 short 0 old 20
  attri 3 short 0 old 1000
  attri 2 short 0 old 0
  attri 2 leaf 0 missing 0
  attri 3 leaf 0 some3 5000
  attri 3 node 0 many7 5000
  attri 3 values 0 value2 5000
  attri 3 values 0 value1 50
  attri 1 values 0 new 50
}

# Change counts of all inodes of the test's files
counts() { # IMAGE
  local file commands=()
  for file in "${!ino[@]}"; do commands+=(-c "inode ${ino[$file]}" -c 'print v3.inumber v3.change_count'); done
  xfs_db -r "${commands[@]}" "$1/img"
}

# One intent alone, on a small copy: the kernel's steps, one by one.
alone() { # LINE
  rm -rf "$work/one" "$work/ours"
  copy_image "$D" "$work/one"
  echo "$1" | "$tools/addintents" "$work/one/img"
  copy_image "$work/one" "$work/ours"
  mount_image "$work/one" rw || fail "the kernel does not recover: $1"
  unmount_image
  "$replay" "$work/ours/img" >"$work/said" || fail "xfs_replay: exit $?: $1"
  counts "$work/one" >"$work/one.counts"
  counts "$work/ours" >"$work/ours.counts"
  diff -u "$work/one.counts" "$work/ours.counts" >&2 || fail "another change count than the kernel's: $1"
  cmp -s "$D.counts" "$work/one.counts" || changing=$((changing + 1))
}
counts "$D" >"$D.counts"
[ "$(grep -c '^v3.change_count = ' "$D.counts")" = ${#ino[@]} ] || fail "not all change counts can be seen"
changing=0
while read -r line; do alone "$line"; done < <(all && others)
[ "$changing" -gt 20 ] || fail "only $changing intents change a count: the test is void"

all | "$tools/addintents" "$D/img"

K=$work/kernel T=$work/tool
copy_image "$D" "$K"
copy_image "$D" "$T"
kernel_mount "$K"
[ "$verdict" = recovered ] || fail "the kernel found nothing to recover"
"$replay" "$T/img" || fail "xfs_replay: exit $?"
for what in "$K" "$T"; do
  snapshot_image "$what" "$what.txt"
  grep -E ' xattr |: ino |: content ' "$what.txt" >"$what.names"
  repair_image "$what" "$what.repair"
  [ "$(cat "$what.repair.rc")" = 0 ] || fail "xfs_repair -n finds fault: $(cat "$what.repair")"
done
# Whose ctime the recovery renewed
ctimes() {
  sed -n 's/^\(inode [0-9]*:\) .* \(ctime [^ ]*\) .*/\1 \2/p' "$1.txt"
}
for what in "$K" "$T"; do
  comm -13 <(ctimes "$D" | sort) <(ctimes "$what" | sort) | cut -d: -f1 >"$what.renewed"
done
[ -s "$K.renewed" ] || fail "the kernel renews no ctime any more"
diff -u "$K.renewed" "$T.renewed" >&2 || fail "other inodes than the kernel's have a new ctime"
# Where the attribute forks begin
borders() {
  sed -n 's/^\(inode [0-9]*:\) xflags .* \(forkoff [0-9]*\) .*/\1 \2/p' "$1.txt"
}
[ "$(borders "$K" | wc -l)" -ge ${#ino[@]} ] || fail "the snapshot knows no forks"
diff -u <(borders "$K") <(borders "$T") >&2 || fail "attribute forks begin elsewhere than the kernel's"
diff -u <(counts "$K") <(counts "$T") >&2 || fail "other change counts than the kernel's"
diff -u "$K.names" "$T.names" || fail "xfs_replay's recovery is not the kernel's"
kernel_mount "$T"
[ "$verdict" = clean ] || fail "the log was not clean after xfs_replay"
[ "$(super "$T" features_log_incompat)" = "features_log_incompat = 0" ] || fail "the superblock still says that attributes are logged"
[ "$(grep -c ' xattr ' "$T.names")" -gt 300 ] || fail "the snapshot knows nothing of attributes"
echo "equal in $(wc -l <"$T.names") lines"
