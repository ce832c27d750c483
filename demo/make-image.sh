#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: make-image.sh OUTPUT-DIRECTORY    (root, loop devices, xfsprogs, zstd)
#
# How demo.img.zst was made, and after.txt, the tree that the kernel recovers from it.
#
# A small project is written to a new filesystem and reaches the disk: the freeze writes everything in place. Then somebody works on it: new
# files, renames, removals, a release. All of that is in the log when the power fails, and in the log alone. Directory blocks are
# 64 KiB, so that recovery has large structures to look at in one piece. Nothing is left half done (no unlinked open file, no deferred work), so
# that replaying the log is all that recovery has to do.

set -euo pipefail
export LC_ALL=C TZ=UTC
out=${1:?}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
mnt=$work/mnt
trap 'umount "$mnt" 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir "$mnt"

write() { # NAME TEXT
  printf '%s\n' "${@:2}" >"$mnt/$1"
}

truncate -s 300M "$work/img"
mkfs.xfs -q -L kiln -n size=65536 -m uuid=5eedf00d-0c0f-4e55-8000-2002110522aa "$work/img"
mount -o loop "$work/img" "$mnt"

mkdir -p "$mnt"/kiln/{src,docs,build,tests} "$mnt/mail/new"
write kiln/README.md "# kiln" "Fires clay, and tells you when it is done."
write kiln/Makefile "kiln: src/main.c src/heat.c"
write kiln/src/main.c "int main(void) { return 0; }"
write kiln/src/heat.c "int heat(int degrees) { return degrees; }"
write kiln/docs/draft.md "# How to fire clay" "To be written."
write kiln/docs/notes.txt "ask Ada about cones"
for object in main heat ramp; do
  head -c 9000 /dev/zero | tr '\0' "$object" >"$mnt/kiln/build/$object.o"
done
write kiln/tests/test_heat.c "int main(void) { return 1; }"
ln -s kiln/README.md "$mnt/README"
for n in $(seq 1 400); do
  write "mail/new/2026-11-$((n % 28 + 1)).$n.letter" "letter $n"
done
xfs_freeze -f "$mnt"
xfs_freeze -u "$mnt"

# From here on everything is in the log only.
write kiln/src/cone.c "int cone(int number) { return 600 + 20 * number; }"
write kiln/src/cone.h "int cone(int number);"
write kiln/src/main.c '#include "cone.h"' "int main(void) { return cone(6) != 720; }"
mv "$mnt/kiln/docs/draft.md" "$mnt/kiln/docs/guide.md"
write kiln/docs/guide.md "# How to fire clay" "Slowly at first. Cone 6 is 720 of our degrees."
rm -r "$mnt/kiln/build" "$mnt/kiln/docs/notes.txt"
mkdir -p "$mnt/kiln/releases/1.0"
ln "$mnt/kiln/src/cone.c" "$mnt/kiln/releases/1.0/cone.c"
ln -s 1.0 "$mnt/kiln/releases/latest"
head -c 300000 /dev/zero | tr '\0' k >"$mnt/kiln/releases/1.0/kiln.bin"
chmod 755 "$mnt/kiln/releases/1.0/kiln.bin"
setfattr -n user.built-by -v "ada@workshop" "$mnt/kiln/releases/1.0/kiln.bin"
mv "$mnt/kiln/tests" "$mnt/kiln/checks"
chown 1000:1000 "$mnt/kiln/README.md"
mkdir "$mnt/mail/read"
for n in $(seq 1 3 400); do
  mv "$mnt/mail/new/2026-11-$((n % 28 + 1)).$n.letter" "$mnt/mail/read/$n"
done
for n in $(seq 2 3 400); do
  rm "$mnt/mail/new/2026-11-$((n % 28 + 1)).$n.letter"
done
mknod "$mnt/kiln/doorbell" p
touch -d 2038-01-20T03:14:08Z "$mnt/kiln/Makefile" # beyond 32 bits of seconds

# The data reaches the disk, the kernel finishes with the removed files in the background, the power fails.
xfs_io -c syncfs "$mnt"
sleep 1
xfs_io -c syncfs "$mnt"
xfs_io -x -c "shutdown -f" "$mnt"
umount "$mnt"

mkdir -p "$out"
zstd -q -19 -f "$work/img" -o "$out/demo.img.zst"

mount -o loop "$work/img" "$mnt" # recovers
umount "$mnt"
mount -o loop,ro,noatime "$work/img" "$mnt"
"${IMAGE_TOOLS:-$here/../build/tests/xfs/images}/snapshot" --tree "$mnt" | sort -k 8 >"$out/after.txt"
umount "$mnt"
ls -l "$out"
