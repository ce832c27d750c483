#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: run-made.sh [NAME...]        these rows of the table "made"; all of them
#
# Filesystems that this machine's kernel cannot make dirty (V4, with quota, with a realtime device): a kernel in QEMU works on them and shuts them down
# by force, on all in one machine. Two copies of each are recovered, K by that kernel, in a second machine, T by xfs_replay; there both are looked at: names,
# attributes, contents, mappings, dquots must be equal, and the counters and what xfs_repair -n finds; the kernel must find T's log clean.

# shellcheck source-path=SCRIPTDIR source=machine.sh
. "$(dirname "$0")/machine.sh"

replay=${XFS_REPLAY:?} tools=${QEMU_TOOLS:-}
need_machine mkfs.xfs xfs_db xfs_logprint
D=$work/dirty K=$work/kernel T=$work/tool

# The table: arrays by name
names=()
declare -A expect load mkfs options rtsize disk rtdisk
while IFS='|' read -r name expect_row load_row mkfs_row mount_row rt_row; do
  name=${name// /}
  [ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
  names+=("$name")
  expect[$name]=$expect_row load[$name]=$load_row mkfs[$name]=$mkfs_row
  options[$name]=${mount_row// /} rtsize[$name]=${rt_row// /}
done < <(grep -v -e '^#' -e '^$' "$(dirname "$0")/made")

# name_disks DIRECTORY...: their images are disks of the next machine; sets $disks
name_disks() {
  local letters=({b..z}) name dir
  disks=()
  for dir in "$@"; do
    for name in "${names[@]}"; do
      disk[$dir/$name]=/dev/vd${letters[${#disks[@]}]}
      disks+=("$dir/$name/img")
      [ -n "${rtsize[$name]}" ] || continue
      rtdisk[$dir/$name]=/dev/vd${letters[${#disks[@]}]}
      disks+=("$dir/$name/rt")
    done
  done
}

mount_line() { # DIRECTORY NAME rw|ro
  echo "mount ${disk[$1/$2]} $3${options[$2]:+,${options[$2]}}${rtdisk[$1/$2]:+,rtdev=${rtdisk[$1/$2]}}"
}

has_quota() { # NAME
  [[ ${expect[$1]} == *quota* ]]
}

# Sets $rt to what programs need to find the realtime device.
set_rt() { # DIRECTORY NAME
  rt=()
  [ -z "${rtsize[$2]}" ] || rt=(-r "$1/$2/rt")
}

make_empty() { # NAME
  mkdir -p "$D/$1"
  truncate -s 160M "$D/$1/img"
  [ -z "${rtsize[$1]}" ] || truncate -s "${rtsize[$1]}" "$D/$1/rt"
  set_rt "$D" "$1"
  # shellcheck disable=SC2086
  mkfs.xfs -q -f --unsupported ${mkfs[$1]} ${rt:+-r "rtdev=$D/$1/rt"} "$D/$1/img" 2>"$work/said" || fail "mkfs.xfs: $(cat "$work/said")"
}

tool() { # EXPECTED-STATUS NAME OPTION...: on the image of T
  local rc=0
  set_rt "$T" "$2"
  "$replay" "${@:3}" "${rt[@]}" "$T/$2/img" >"$work/said" 2>&1 || rc=$?
  [ "$rc" = "$1" ] || fail "$2: xfs_replay ${*:3}: exit $rc: $(cat "$work/said")"
}

recover() { # NAME
  local what said
  tool 2 "$1" -n
  cmp "$D/$1/img" "$T/$1/img" || fail "$1: -n wrote something"
  tool 0 "$1"
  said=$(cat "$work/said")
  for what in ${expect[$1]}; do
    case $what in
    unlinked) grep -q '^completed: .* [1-9][0-9]* unlinked inodes' <<<"$said" ;;
    quota) grep -q '^  dquot *[0-9]* items: [1-9]' <<<"$said" ;;
    -) ;;
    *) fail "$1: unknown expectation $what" ;;
    esac || fail "$1 left no: $what: $said"
  done
  sed -n "s/^completed:/$1:/p" <<<"$said"
  cp --sparse=always "$T/$1/img" "$work/before"
  tool 0 "$1"
  cmp "$T/$1/img" "$work/before" || fail "$1: a second run wrote something"
  xfs_logprint -t "$T/$1/img" 2>&1 | grep 'state: <CLEAN>' >/dev/null || fail "$1: xfs_logprint finds the log not clean"
}

# What one copy's part of the output is: $1/$2.log of it the kernel said, $1/$2.state all else.
part() { # DIRECTORY NAME
  sed -n "\\,^copy $1/$2\$,,/^end of copy/p" "$work/text" >"$work/part"
  grep '^kernel: ' "$work/part" >"$1/$2.log" || fail "$1/$2: the kernel said nothing"
  grep -v -e '^kernel: ' -e '^copy ' -e '^end of' "$work/part" >"$1/$2.state"
  xfs_db -r -c 'sb 0' -c 'print icount ifree fdblocks frextents qflags' "$1/$2/img" >>"$1/$2.state"
}

compare() { # NAME
  part "$K" "$1"
  part "$T" "$1"
  grep -q 'Starting recovery' "$K/$1.log" || fail "$1: the kernel found nothing to recover"
  ! grep -e 'Starting recovery' -e Quotacheck "$T/$1.log" >&2 || fail "$1: the kernel found something to do behind xfs_replay"
  [ "$(wc -l <"$K/$1.state")" -gt 200 ] || fail "$1: the snapshot is not whole"
  ! has_quota "$1" || [ "$(grep -c '^user ' "$K/$1.state")" -gt 1 ] || fail "$1: there are no dquots"
  diff -u "$K/$1.state" "$T/$1.state" | head -40 >&2
  cmp "$K/$1.state" "$T/$1.state" || fail "$1: replay and kernel disagree"
  set_rt "$T" "$1"
  xfs_repair -n -f -o force_geometry "${rt[@]}" "$T/$1/img" >"$work/repair" 2>&1 || fail "$1: xfs_repair -n: $(tail -20 "$work/repair")"
  echo "$1: equal in $(wc -l <"$K/$1.state") lines"
}

for name in "${names[@]}"; do make_empty "$name"; done
name_disks "$D"
for name in "${names[@]}"; do
  mount_line "$D" "$name" rw
  echo "run /workload-static ${load[$name]} /mnt"
  echo unmount
done | boot 500 "$tools/workload-static" -- "${disks[@]}"

cp -r --sparse=always "$D" "$K"
cp -r --sparse=always "$D" "$T"
for name in "${names[@]}"; do recover "$name"; done

name_disks "$K" "$T"
for dir in "$K" "$T"; do
  for name in "${names[@]}"; do
    echo "say copy $dir/$name"
    mount_line "$dir" "$name" rw
    ! has_quota "$name" || echo "quota ${disk[$dir/$name]}"
    echo unmount
    echo log
    mount_line "$dir" "$name" ro
    echo "run /snapshot-static /mnt"
    echo unmount
    echo log
    echo "say end of copy"
  done
done | boot 500 "$tools/snapshot-static" -- "${disks[@]}"
for name in "${names[@]}"; do compare "$name"; done
