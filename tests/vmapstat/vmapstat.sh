#!/bin/sh
# SPDX-License-Identifier: MIT
# vmapstat.sh VMAPSTAT CHILD: what it says of a live process that has pools, of one that has none, and of one that lies.
set -eu
vmapstat=$1 child=$2
dir=$(mktemp -d)
pid=
trap 'exec 3>&-; [ -z "$pid" ] || wait "$pid" || :; rm -rf "$dir"' EXIT
mkfifo "$dir/in" "$dir/out"
fail() {
	echo "$*"
	cat "$dir/said" "$dir/errors"
	exit 1
}

# begin WHAT: a child that is ready. It lives until end.
begin() {
	"$child" "$1" <"$dir/in" >"$dir/out" 3>&- &
	pid=$!
	exec 3>"$dir/in"
	read -r line <"$dir/out"
	[ "$line" = ready ]
}
end() {
	exec 3>&-
	wait "$pid"
	pid=
}
# says CODE ARGUMENTS...
says() {
	wanted=$1
	shift
	code=0
	"$vmapstat" "$@" >"$dir/said" 2>"$dir/errors" || code=$?
	[ "$code" -eq "$wanted" ] || fail "vmapstat $*: exit code $code, not $wanted"
}
# has LINE...: each is in what it said, to the letter.
has() {
	for line in "$@"; do
		grep -qF -- "$line" "$dir/said" || fail "not said: $line"
	done
}

begin pools
says 0 "$pid"
has "process $pid (" ' mappings, 3 pools' 'pool first' 'pool second' 'pool third' \
	'  memory    1.0 MiB owned, 1.0 MiB in use, 64.0 MiB at most' \
	'  views     2 in 4 fragments, 1.2 MiB aliased' '  kernel    4 mappings, 1.2 MiB' \
	'  budget    6 of 100 mappings taken, 94 left, 0 views refused' \
	'  views     0 in 0 fragments, 0 bytes aliased' '  budget    0 of 3 mappings taken, 3 left, 1 views refused' \
	'  caches    0 views kept, in 0 mappings, 0 hits, 0 misses, 0 evicted' \
	'  caches    1 views kept, in 3 mappings, 3 hits, 2 misses, 1 evicted'
says 0 --json "$pid"
python3 - "$pid" "$dir/said" <<'PYTHON'
import json
import sys
with open(sys.argv[2], encoding='utf-8') as file:
    said = json.load(file)
assert said['pid'] == int(sys.argv[1]) and said['mappings'] > 10 and said['mappings_limit'] > 1000, said
first, second, third = sorted(said['pools'], key=lambda pool: pool['name'])
assert first['pid'] == said['pid'] and first['limit'] == 64 << 20 and first['owned'] == first['in_use'] == first['peak'] == 1 << 20, first
assert first['budget'] == {'limit': 100, 'taken': 6, 'left': 94, 'refused': 0}, first
assert (first['views'], first['fragments'], first['aliased']) == (2, 4, 20 << 16), first
assert first['kernel'] == {'mappings': 4, 'aliased': 20 << 16}, first
assert second['budget'] == {'limit': 3, 'taken': 0, 'left': 3, 'refused': 1}, second
assert second['kernel'] == {'mappings': 0, 'aliased': 0} and second['in_use'] == 8 * second['page_size'], second
assert third['caches'] == {'views': 1, 'mappings': 3, 'hits': 3, 'misses': 2, 'evictions': 1}, third
assert not any(first['caches'].values()), first
PYTHON
end
says 2 "$$$$" # whatever had two numbers in a row

begin nothing
says 1 "$pid"
says 1 --json "$pid"
has '"pools": []'
end

begin forged
says 0 "$pid"
has 'pool red ?[31m "\ ?' '0 left'
says 0 --json "$pid"
python3 -m json.tool "$dir/said" >/dev/null || fail 'that is no JSON'
end
for what in garbage short; do
	begin $what
	says 2 "$pid"
	grep -q 'is none of this version' "$dir/errors" || fail "$what: not said to be none"
	end
done

says 0 -h
has 'Usage: vmapstat'
says 0 -V
has 'vmapstat '
for bad in 0 -1 1x '' 99999999999999999999 "$dir"; do
	says 2 -- "$bad"
done
says 2
says 2 1 1
says 2 --what 1
if [ -e /dev/full ]; then
	code=0
	"$vmapstat" -h >/dev/full 2>&1 || code=$?
	[ "$code" -eq 2 ]
fi
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
	begin pools
	code=0
	cp "$vmapstat" "$dir/vmapstat"
	chmod 755 "$dir" "$dir/vmapstat"
	setpriv --reuid=65534 --regid=65534 --clear-groups "$dir/vmapstat" "$pid" 2>"$dir/errors" || code=$?
	[ "$code" -eq 2 ] || fail "somebody else's process: exit code $code"
	grep -q 'may not be looked at' "$dir/errors" || fail 'not said that it may not be looked at'
	end
fi
