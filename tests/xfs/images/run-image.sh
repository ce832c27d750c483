#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: run-image.sh GEOMETRY
#
# Makes a filesystem, works on it, shuts it down by force, and recovers two copies: K by the kernel, T by xfs_replay. Whatever can be seen of
# them afterwards must be equal: names, attributes, contents, mappings, counters, xfs_repair's findings; and where nothing had to be
# completed, every sector outside the log. Pass 2 alone, finished by the kernel, must give what the kernel alone does. A geometry is a row of
# the file geometries, which also says what the shutdown must leave behind. What depends on timing (a chain of intents cut in the
# middle) may take several attempts, each with another seed; a geometry that never leaves what it should fails.
#
# Environment: XFS_REPLAY the tool, IMAGE_TOOLS the directory of the helpers, IMAGE_SEED another seed, KEEP_IMAGES=1 keep the images.
# The tool "kernel" stands for the kernel itself: it tests this test.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

tools=${IMAGE_TOOLS:?}
replay=${XFS_REPLAY:?}
geometry=${1:?}

size=300M
log_size=
completed=
twice=
full=
attempts=12

# The row of this geometry: sets $expect, $load, $mkfs and the settings.
read_geometry() {
  local row name expect_row load_row mkfs_row settings setting kind options
  row=$(grep -E "^$geometry +\|" "${IMAGE_TABLE:-$(dirname "$0")/geometries}") || fail "unknown geometry $geometry"
  IFS='|' read -r name expect_row load_row mkfs_row settings <<<"$row"
  read -ra expect <<<"$expect_row"
  read -ra load <<<"$load_row"
  read -ra mkfs <<<"$mkfs_row"
  for setting in $settings; do
    case $setting in
    full) full=1 ;;
    quick) full=1 ;;
    size=*) size=${setting#*=} ;;
    log=*) log_size=${setting#*=} ;;
    mount=*) mount_options=${setting#*=} ;;
    twice=*) twice=${setting#*=} ;;
    *) fail "geometry $name: unknown setting $setting" ;;
    esac
  done
  kind=${load[0]}
  options=()
  shutdown=flush wrap=
  case $kind${full:+-full} in
  tidy-full) options=(--ops=2500 --tail-ops=500 --tidy --freeze-every=1700) ;;
  tidy) options=(--ops=1000 --tail-ops=300 --tidy --freeze-every=700) ;;
  unflushed-full) options=(--ops=2500 --tail-ops=300 --tidy --sync-every=200) shutdown=noflush ;;
  unflushed) options=(--ops=900 --tail-ops=150 --tidy --sync-every=200) shutdown=noflush ;;
  wrapped*) wrap=1 options=(--tail-ops=50) ;;
  race*) options=(--ops=300 --race) ;;
  open*) options=(--ops=300) ;;
  *) fail "geometry $name: unknown workload $kind" ;;
  esac
  load=("${options[@]}" "${load[@]:1}")
}

expected() {
  case " ${expect[*]} " in
  *" $1 "*) return 0 ;;
  esac
  return 1
}

# workload IMAGE SEED [MOUNT-OPTION]
workload() {
  local args=("${load[@]}" "--seed=$2" "--shutdown=$shutdown")
  mount_image "$1" rw "${3:-}" || fail "the kernel does not mount $1"
  [ -z "$wrap" ] || args+=("--wrap=/sys/fs/xfs/${device#/dev/}/log")
  if expected alone || expected scattered; then
    "$tools/workload" "${args[@]}" --shutdown=none "$work/mnt" || fail "the workload failed"
    "$tools/snapshot" "$work/mnt" >"$work/live.txt"
    args=(--ops=0 --shutdown=flush)
  fi
  "$tools/workload" "${args[@]}" "$work/mnt" || fail "the workload failed"
  went_down=$(date +%s)
  unmount_image
}

# Intents in the log that no done item follows, as xfs_logprint has it: of all kinds, or of these (EF|RU|...)
pending_intents() {
  sed -nE 's/^[[:space:]]*('"${1:-EF|RU|CU|BU|XM|ATTR}"')([ID]):.*#regs:.*id: *(0x[0-9a-f]+).*/\1 \2 \3/p' "$work/logprint" |
    awk '{ if ($2 == "I") pending[$1 $3] = 1; else delete pending[$1 $3] } END { for (id in pending) n++; print n + 0 }'
}

# Whether the shutdown left what this geometry is for, as far as that can be seen before a recovery
as_expected() {
  local what
  for what in "${expect[@]}"; do
    case $what in
    intents) [ "$(pending_intents)" -gt 0 ] ;;
    attri) [ "$(pending_intents ATTR)" -gt 0 ] ;;
    xmi) [ "$(pending_intents XM)" -gt 0 ] ;;
    wrapped) [ "$log_head" -lt "$log_tail" ] ;;
    unlinked | cow) # nothing but a recovery can tell; here one in memory
      copy_image "$D" "$work/look"
      set_log_options "$work/look"
      run_tool "0 2" -n "${log_options[@]}" "$work/look/img"
      rm -r "$work/look"
      [ "$replay" = kernel ] || if [ "$what" = cow ]; then
        grep -q '^completed: .*, [1-9][0-9]* copy-on-write leftovers' "$work/said"
      else
        grep -q '^completed: .* [1-9][0-9]* unlinked inodes' "$work/said"
      fi
      ;;
    lost | - | alone | scattered) ;;
    *) fail "geometry $geometry: unknown expectation $what" ;;
    esac || {
      echo "seed $seed left no: $what"
      return 1
    }
  done
}

make_image() {
  mkdir "$1"
  truncate -s "$size" "$1/img"
  if [ -n "$log_size" ]; then
    truncate -s "$log_size" "$1/log"
    set -- "$1" -l "logdev=$1/log,size=$log_size"
  fi
  mkfs.xfs -q -f "${mkfs[@]}" "${@:2}" "$1/img" 2>"$work/mkfs" || fail "mkfs.xfs: $(head -1 "$work/mkfs")"
  workload "$1" "$seed"
  if [ -n "$twice" ]; then
    check_dirty "$1"
    workload "$1" $((seed + 1)) "$twice"
  fi
}

# Completed intents of attributes renew the ctime of some inodes, to the time of the recovery, and allocate blocks for leaves, wherever the
# order of all that is completed leaves room: what cannot be equal is left out of a snapshot, that it is there is not.
normalise() {
  [[ " ${load[*]} " == *" --names "* ]] || return 0
  awk -v then="$went_down" '
    /^inode .*: atime / { for (i = 1; i < NF; i++) if ($i == "ctime" && $(i + 1) + 0 >= then) $(i + 1) = "renewed" }
    / attr [0-9]+\+[0-9]+ @ [0-9]+/ { sub(/ @ [0-9]+/, "") }
    { print }' "$1" >"$1.new"
  mv "$1.new" "$1"
}

# run_tool EXPECTED-STATUS ARGUMENT...: output to $work/said
run_tool() {
  local rc=0
  if [ "$replay" = kernel ]; then
    return 0
  fi
  "$replay" "${@:2}" >"$work/said" 2>&1 || rc=$?
  case " $1 " in
  *" $rc "*) status=$rc ;;
  *)
    cat "$work/said" >&2
    fail "xfs_replay ${*:2}: exit $rc, expected $1"
    ;;
  esac
}

unchanged() { # IMAGE COPY WHAT
  local file
  for file in "$1"/*; do
    cmp "$file" "$2/${file##*/}" >&2 || fail "$3: $file is not as it was"
  done
}

# The tool said that the log is clean: everybody must agree.
check_clean() {
  set_log_options "$T"
  xfs_logprint -t "${log_options[@]}" "$T/img" 2>&1 | grep 'state: <CLEAN>' >/dev/null || fail "xfs_logprint finds the log not clean"
  copy_image "$T" "$work/before"
  run_tool 0 "${log_options[@]}" "$T/img"
  unchanged "$T" "$work/before" "a second run"
  same_state "$K" "$T" || fail "replay and kernel disagree"
  if [ -z "$completed" ]; then
    "$tools/imgdiff" "$K/img" "$T/img" >&2 || fail "replay and kernel wrote different sectors"
  fi
  kernel_mount "$T"
  [ "$verdict" = clean ] || fail "the kernel recovered a log that was said to be clean"
}

# Pass 2 alone, finished by the kernel, is what the kernel alone makes: in its state, and to the last bit where that is determined. The
# kernel frees unlinked inodes on all CPUs, in no certain order, and may come out the same a few times all the same: so other sectors
# are a fault only if the kernel alone never writes others, and after pass 2 always.
check_pass2() {
  local P=$work/pass2 R=$work/repeated try
  [ "$replay" != kernel ] || return 0
  for try in 1 2 3 4; do
    rm -rf "$P" "$R"
    copy_image "$D" "$P"
    set_log_options "$P"
    run_tool "0 2" --pass2-only "${log_options[@]}" "$P/img"
    [ "$status" = 2 ] || return 0
    kernel_mount "$P"
    [ "$verdict" = recovered ] || fail "the tool said that a dirty log remains, the kernel found none"
    ! "$tools/imgdiff" "$K/img" "$P/img" >"$work/pass2.sectors" || return 0
    same_state "$K" "$P" || fail "pass 2 finished by the kernel differs from the kernel's own"
    copy_image "$D" "$R"
    kernel_mount "$R"
    "$tools/imgdiff" "$K/img" "$R/img" >"$work/repeated.sectors" || return 0
  done
  fail "the kernel wrote other sectors after pass 2 than without it, $try times: $(head -3 "$work/pass2.sectors")"
}

# The filesystem is not only right but usable.
check_usable() {
  load=(--ops=200) shutdown=none wrap=
  workload "$T" 77
  repair_image "$T" "$work/usable"
  [ "$(cat "$work/usable.rc")" = 0 ] || [ "$(cat "$K.repair.rc")" != 0 ] || fail "xfs_repair after more work: $(cat "$work/usable")"
}

# Recovery into another image, and log, is recovery in place of a copy.
check_output() {
  local out=$work/output
  mkdir "$out"
  set_log_options "$work/report"
  run_tool 0 --output "$out/img" "${log_options[@]}" "$work/report/img"
  unchanged "$D" "$work/report" "--output"
  [ ! -e "$out/img.log" ] || mv "$out/img.log" "$out/log"
  unchanged "$T" "$out" "--output"
  rm -r "$out"
}

# The tree of the dirty image, recovered in memory only, is the tree that the kernel recovered.
check_tree() {
  set_log_options "$work/report"
  [ "$replay" != kernel ] || return 0
  "$replay" --tree "${log_options[@]}" "$work/report/img" >"$work/tree" || [ $? = 2 ] || fail "--tree: exit $?"
  grep -aE '^[-dlcbps][-rwxsStT]{9} ' "$work/tree" | sort | diff -u "$K.txt.tree" - >"$work/tree.diff" || {
    head -20 "$work/tree.diff" >&2
    fail "--tree lists another tree than the kernel recovers"
  }
  unchanged "$D" "$work/report" "--tree"
}

# What the kernel cannot recover. The answer is the filesystem as it was just before the shutdown, which flushed the log. Mounted only when
# everybody says that there is nothing left to recover.
same_as_before() {
  run_tool 0 "$T/img"
  xfs_logprint -t "$T/img" 2>&1 | grep -q 'state: <CLEAN>' || fail "xfs_logprint finds the log not clean"
  repair_image "$T" "$T.repair"
  [ "$(cat "$T.repair.rc")" = 0 ] || fail "xfs_repair: $(cat "$T.repair")"
  snapshot_image "$T" "$T.txt"
  grep -v '^[a-z]* = ' "$T.txt" | diff -u "$work/live.txt" - >"$work/diff" || {
    head -40 "$work/diff" >&2
    fail "the filesystem is not as it was before the shutdown"
  }
  kernel_mount "$T"
  [ "$verdict" = clean ] || fail "the kernel recovered a log that was said to be clean"
  echo "$geometry: equal in $(wc -l <"$work/live.txt") lines"
}

# Undone, the image and its log device are what they were.
check_undo() {
  copy_image "$D" "$work/undone"
  set_log_options "$work/undone"
  run_tool "$status" --undo "$work/undo" "${log_options[@]}" "$work/undone/img"
  run_tool 0 --apply-undo "$work/undo" "${log_options[@]}" "$work/undone/img"
  unchanged "$D" "$work/undone" "what was undone"
  rm -r "$work/undone"
}

# A log with pieces of directory blocks: our scan finds them, and the tool leaves nothing to a kernel.
check_scattered() {
  (check_dirty "$D") 2>"$work/scan" && fail "the log has no piece of a directory block"
  grep -q 'not safe to mount' "$work/scan" || fail "$(cat "$work/scan")"
  [ "$replay" != kernel ] || skip "this kernel must not recover it"
  copy_image "$D" "$T"
  run_tool 1 --pass2-only "$T/img"
  unchanged "$D" "$T" "a refused replay"
  grep -q 'do NOT mount' "$work/said" || fail "no warning: $(cat "$work/said")"
  same_as_before
}

# Owner changes of btree blocks: kernels before 2025-12 take their own log for corrupt.
check_alone() {
  [ "$replay" != kernel ] || skip "this kernel may not recover it"
  grep -q 'INODE: .*flags:0x2' "$work/logprint" || fail "no owner change in the log"
  copy_image "$D" "$T"
  same_as_before
}

need_kernel
[ "$replay" = kernel ] || [ -x "$replay" ] || skip "$replay is not built"
seed=${IMAGE_SEED:-1}
D=$work/dirty K=$work/kernel T=$work/tool

read_geometry
if expected scattered; then
  make_image "$D"
  check_scattered
  exit
fi
for ((attempt = 1; ; attempt++)); do
  make_image "$D"
  check_dirty "$D"
  as_expected && break
  [ "$attempt" -lt "$attempts" ] || fail "$geometry: $attempts attempts left other images than it is for: ${expect[*]}"
  rm -r "$D"
  seed=$((seed + 1000))
done
if expected alone; then
  check_alone
  exit
fi
echo "$geometry: log blocks $log_tail to $log_head; pending intents: $(pending_intents)"

copy_image "$D" "$K"
kernel_mount "$K"
[ "$verdict" = recovered ] || fail "the kernel found nothing to recover"

copy_image "$D" "$work/report"
set_log_options "$work/report"
run_tool "0 2" -n "${log_options[@]}" "$work/report/img"
unchanged "$D" "$work/report" "-n"

copy_image "$D" "$T"
set_log_options "$T"
if [ "$replay" = kernel ]; then
  kernel_mount "$T"
else
  run_tool 0 "${log_options[@]}" "$T/img"
  completed=$(sed -n 's/^completed: //p' "$work/said")
  tail -3 "$work/said"
  [ -z "$full" ] || check_output
  [ -z "$full" ] || check_undo
fi
check_clean
check_pass2
check_tree
[ -z "$full" ] || check_usable
! grep -q 'never flushed' "$K.txt.tree" || fail "what was never flushed is in the log"
echo "$geometry (${expect[*]}): equal in $(wc -l <"$K.txt") lines ($(grep -c ' ino ' "$K.txt") names)${completed:+; completed $completed}"
