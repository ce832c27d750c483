#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: run-tool.sh DIRTY.img.zst
#
# The tool's options on one dirty image, without root and without the kernel: undo, also of a run that was killed at any write; an item of the
# log that is left out and applied later; a filesystem
# inside a larger image; two filesystems with the same UUID; looking. Environment: XFS_REPLAY the tool, IMAGE_DIE_AFTER the library.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

replay=${XFS_REPLAY:?}
library=${IMAGE_DIE_AFTER:?}

tool() { # EXPECTED-STATUS ARGUMENT...
  local rc=0
  "$replay" "${@:2}" >"$work/out" 2>"$work/said" || rc=$?
  [ "$rc" = "$1" ] || fail "xfs_replay ${*:2}: exit $rc, expected $1: $(cat "$work/said")"
}

said() {
  grep -qF -e "$1" "$work/said" "$work/out" || fail "\"$1\" was not said, but: $(cat "$work/said" "$work/out")"
}

copy() {
  rm -f "$2"
  cp --sparse=always "$1" "$2"
}

same() {
  cmp "$1" "$2" >&2 || fail "$3"
}

# The library is preloaded before ASan's runtime, which minds, but works.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0

command -v zstd >/dev/null || skip "zstd is not installed"
[ -x "$replay" ] || skip "$replay is not built"
trap put_away EXIT
work=$(mktemp -d "$(roomy_directory)/xfs-tool.XXXXXX")
cd "$work"
zstd -dq --sparse "$1" -o dirty
copy dirty clean
tool 0 clean

check_undo() {
  local all point
  copy dirty img
  LD_PRELOAD=$library DIE_COUNT=count tool 0 --undo undo img
  said "--apply-undo puts them back"
  same img clean "--undo changes the recovery"
  tool 1 --undo undo img
  said "exists already"
  copy clean other
  truncate -s +4096 other
  tool 1 --apply-undo undo other
  said "another image"
  tool 1 --apply-undo clean img
  said "no undo file"
  tool 0 --apply-undo undo img
  said "img: is as it was"
  same img dirty "--apply-undo does not restore the image"
  head -c $(($(stat -c %s undo) / 2)) undo >half
  copy clean other
  tool 0 --apply-undo half other
  said "what was cut off stays changed"
  ! grep -q "is as it was" out || fail "half an undo file is said to undo everything"

  all=$(cat count)
  for point in 1 2 3 $((all / 4)) $((all / 2)) $((all * 3 / 4)) $((all - 3)) $((all - 2)) $((all - 1)); do
    copy dirty img
    rm -f undo
    LD_PRELOAD=$library DIE_AFTER=$point tool 99 --undo undo img
    tool 0 --apply-undo undo img
    same img dirty "--apply-undo after $point of $all writes does not restore the image"
  done
  tool 1 --undo x -n img
  tool 1 --undo x --output y img
  [ ! -e x ] || fail "an undo file was made for nothing"
}

# The filesystem as the second part of an image, with something else before and behind it.
check_offset() {
  local size before=$((3 << 20))
  size=$(stat -c %s dirty)
  {
    head -c $before /dev/urandom
    cat dirty
    head -c 1048576 /dev/urandom
  } | dd of=disk bs=1M conv=sparse iflag=fullblock status=none
  truncate -s $((before + size + 1048576)) disk
  copy disk disk.before
  tool 1 disk
  tool 1 --offset 1m disk
  tool 1 --offset 1g disk
  said "is the offset right"
  tool 1 --offset 3mm disk
  tool 1 --offset 100 disk
  tool 1 --offset -3m disk
  tool 1 --offset 99999999999t disk
  tool 2 --offset 3m --tree disk
  cp out tree
  tool 2 --tree dirty
  same out tree "--tree shows another tree with --offset"
  tool 0 --offset 3072k --output fs disk
  same fs clean "--output with --offset is not the filesystem alone"
  tool 0 --offset 6144s --undo offset.undo disk
  same <(tail -c +$((before + 1)) disk | head -c "$size") clean "--offset recovers something else"
  same <(head -c $before disk) <(head -c $before disk.before) "the bytes before the filesystem changed"
  same <(tail -c 1048576 disk) <(tail -c 1048576 disk.before) "the bytes behind the filesystem changed"
  tool 0 --apply-undo offset.undo disk
  same disk disk.before "--apply-undo does not restore an image with an offset"
}

# The same filesystem twice, one changed: neither is taken for the other.
check_twins() {
  copy dirty one
  copy dirty two
  tool 0 --undo one.undo one
  tool 2 --tree two
  "$replay" two >/dev/null &
  tool 0 one
  wait $!
  same one clean "with a twin at work the recovery differs"
  same two clean "with a twin at work the recovery differs"
}

check_look() {
  local rc
  copy dirty img
  tool 2 --cat /kiln/README.md img
  grep -q '^# kiln' out
  tool 2 --cat '/kiln/READ\x4dE.md' img
  grep -q '^# kiln' out
  tool 1 --cat '/kiln/READ\mE.md' img
  tool 1 --cat /kiln img
  tool 1 --cat /README img
  tool 1 --ls /README/x img
  said "symbolic link"
  tool 1 --ls /kiln/../mail img
  tool 1 --ls /none img
  tool 2 --ls / --json img
  grep -q '"path": "/kiln"' out
  rc=0
  "$replay" --ls / --json img >/dev/full 2>said || rc=$?
  [ "$rc" = 1 ] || fail "a report that cannot be written: exit $rc, expected 1"
  grep -q 'standard output' said || fail "standard output was full: $(cat said)"
  tool 2 --ls /kiln/ img
  [ "$(grep -c ' /kiln/' out)" = "$(wc -l <out)" ] || fail "--ls /kiln/ shows more than the directory"
  tool 1 --ls / --cat /README img
  tool 1 --cat /kiln/README.md --json img
  tool 1 --extract
  tool 1 --extract /kiln
  tool 2 --extract /kiln there img
  grep -q '^# kiln' there/README.md
  tool 2 --json --extract /kiln/README.md one.file img
  grep -q '"files": 1' out
  [ "$(ls one.file)" = README.md ] || fail "--extract of a file makes $(ls one.file)"
  tool 1 --extract / dirty img
  tool 0 --ls / clean
  same img dirty "looking changed the image"
}

# One item of the log is left out, kept, and applied later.
check_items() {
  rm -f undo
  local lsn item ino
  tool 2 --log dirty
  read -r lsn item ino < <(awk '$1 == "record" { lsn = $2 } $2 == "inode" { last = lsn " " $1 " " $3 } END { print last }' out)
  copy dirty img
  tool 1 --skip-item "$lsn:0x7e57:9=kept" img
  said "nothing to leave out"
  tool 1 --skip-item "$lsn:$item=kept" --skip-item "$lsn:0x7e57:9=kept2" img
  { [ ! -e kept ] && [ ! -e kept2 ]; } || fail "an item was kept, though nothing was replayed"
  tool 1 --skip-item "$lsn=kept" img
  tool 1 --skip-item "$lsn:$item=kept" --pass2-only img
  tool 2 --skip-item "$lsn:$item=kept" -n img
  [ ! -e kept ] || fail "-n made a file"
  same img dirty "an item that was refused, or left out with -n, changed the image"
  tool 8 --skip-item "$lsn:$item=kept" --undo undo img
  said "lost: later changes of inode $ino"
  said "is left out, and kept in kept"
  copy img salvaged
  copy dirty again
  tool 1 --skip-item "$lsn:$item=kept" again
  said "kept"
  same again dirty "the image was changed though the item could not be kept"

  tool 1 --apply-item kept dirty
  said "the log is dirty"
  tool 0 --apply-item kept -n img
  same img salvaged "--apply-item -n changes the image"
  tool 0 --apply-item kept --undo later img
  tool 0 --tree img
  mv out tree
  tool 0 --tree clean
  same out tree "--apply-item does not make the filesystem what it would have been"
  tool 0 --tree salvaged
  ! cmp -s out tree || fail "the item that was left out changes nothing: the test is void"
  tool 0 --apply-undo later img
  same img salvaged "--apply-undo does not take the item back"
  tool 0 --apply-undo undo img
  same img dirty "--apply-undo does not bring the item back into the log"

  printf 'x' | dd of=kept bs=1 seek=100 conv=notrunc status=none
  tool 1 --apply-item kept salvaged
  said "is damaged"
  tool 1 --apply-item clean salvaged
  said "holds no log item"
  tool 1 --apply-item nothing salvaged
}

# An image that was cut short, and wrong calls: one line each.
check_refusals() {
  local size option odd=$'odd\xff"name'
  size=$(stat -c %s dirty)
  head -c $((size - 1048576)) dirty | dd of=img bs=1M conv=sparse iflag=fullblock status=none
  truncate -s $((size - 1048576)) img
  cp --sparse=always img img.before
  for option in --stats -n --tree --until-bad; do
    tool 1 "$option" img
    said "ends at byte $((size - 1048576)), the filesystem on it at $size: it was cut short"
    [ "$(cat out said | wc -l)" = 1 ] || fail "more than one line: $(cat out said)"
  done
  tool 2 --tree-before img
  said "warning: img: ends at byte"
  tool 2 --log img
  same img img.before "an image that was cut short was changed"

  for option in -1:2 1:-2 ' 1:2' '1: 2' 1:2x 1: :2 1 0:2 4294967296:2; do
    tool 1 --stop-at "$option" dirty
    said "--stop-at needs an LSN"
    tool 1 --skip-item "$option:0x1:0=x" dirty
    said "--skip-item needs an item"
  done
  tool 1 --stop-at 4294967295:0 dirty
  said "there is no record of LSN 4294967295:0"
  for option in 1:2:x:0=x 1:2:-1:0=x 1:2:1:-0=x 1:2:1:0 1:2:1:0= 1:2:0x123456789:0=x; do
    tool 1 --skip-item "$option" dirty
    said "--skip-item needs an item"
  done
  for option in -q -nq --none --tree=x -l --output; do
    tool 1 "$option"
    [ "$(wc -l <said)" = 1 ] || fail "$option: more than one line: $(cat said)"
    said "xfs_replay: -"
  done

  copy dirty "$odd"
  tool 2 --json -n "$odd"
  said '"image": "odd\\xff\"name"'
  said '"exit_status": 2'
  tool 1 --json "$odd.none"
  said 'odd\\xff\"name.none: image: No such file'
  rm "$odd"
}

check_refusals
check_undo
check_items
check_offset
check_twins
check_look
