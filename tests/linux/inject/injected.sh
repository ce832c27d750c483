#!/bin/sh
# SPDX-License-Identifier: MIT
# injected.sh STATIC SHARED TEST WRAPPED...: the library STATIC calls nothing that could fail and that is not WRAPPED; and TEST has every
# function that SHARED, made of the same, has for others.
set -eu
static=$1 shared=$2 test=$3
shift 3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Memory, strings, locks, clocks, whatever compilers make of them; poll() only waits, raise() ends the process, and what is weak is a
# sanitizer's.
cat >"$dir/harmless" <<'END'
__errno_location
_GLOBAL_OFFSET_TABLE_
__snprintf_chk
bcmp
clock_gettime
free
getpid
memcmp
memcpy
memmove
memset
poll
pthread_mutex_destroy
pthread_mutex_init
pthread_mutex_lock
pthread_mutex_trylock
pthread_mutex_unlock
qsort
raise
sigemptyset
snprintf
strcspn
strlen
strncpy
strrchr
strtoul
sysconf
END

# The process host has no frames without pages; spaces of hosts of one's own are the core's: tests/core/test_inject*.c.
cat >"$dir/elsewhere" <<'END'
vmap_pfn
vmap_space_create
vmap_space_destroy
vmap_sparse_map_pfn
END

nm "$static" | awk '$1 == "U" && $2 !~ /^vmap_/ { print $2 }' | sort -u >"$dir/called"
printf '%s\n' "$@" | sort -u "$dir/harmless" - >"$dir/known"
nm -D --defined-only "$shared" | awk '$NF ~ /^vmap_/ { sub(/@.*/, "", $NF); print $NF }' | sort -u >"$dir/offered"
"$test" names >"$dir/names"
sort -u "$dir/elsewhere" "$dir/names" >"$dir/tested"

for list in called offered tested; do
	[ -s "$dir/$list" ] || { echo "nothing is $list"; exit 1; }
done
status=0
comm -23 "$dir/called" "$dir/known" | sed 's|.*|& is called, and can fail unseen: wrap it (inject.c)|' >"$dir/bad"
comm -23 "$dir/offered" "$dir/tested" | sed 's|.*|& is offered, and made to fail nowhere|' >>"$dir/bad"
comm -13 "$dir/offered" "$dir/tested" | sed 's|.*|& is no function of the library|' >>"$dir/bad"
if [ -s "$dir/bad" ]; then
	cat "$dir/bad"
	status=1
fi
echo "$(wc -l <"$dir/called") functions called, $(wc -l <"$dir/offered") offered"
exit $status
