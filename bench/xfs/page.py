#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""page.py JSON FOLDER: the last part of docs/performance.md, about log recovery, made of what bench-xfs.sh measured, in FOLDER/performance.md.

What stands before it is other benches', and is kept.
"""
import json
import os
import sys

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'docs', 'performance.md')
TITLE = '# Log recovery'  # bench/plot.py and boot/bench/bench.py keep this part

FASTER = 3
FLOORS = 2
PEAK = 256  # MiB
MODES = ['warm', 'cold']


def verdict(holds):
    return 'holds' if holds else 'falls short'


def main():
    with open(sys.argv[1], encoding='utf-8') as file:
        data = json.load(file)
    logs = [('1 GiB', data)] + ([('largest', data['largest'])] if 'largest' in data else [])
    lines = [TITLE, '', f"Made by `ninja -C build bench-xfs`, as root, with Linux {data['kernel_release']}.", '',
             'Seconds: the whole of `xfs_replay IMAGE`; `mount` and `umount` of a copy over a loop device; and the floor: one `pread` of the active log, a MiB at a',
             'time, and one `pread` and `pwrite` of each filesystem block that the log changes, in the order of addresses, with the same waits for the disk, and',
             'nothing else. The merged floor takes neighbouring blocks together, up to 1 MiB a call: the least that the work could cost.',
             'They are taken in turn, medians of so many rounds. Warm: the image is in the page cache; cold: none of it is. The images are of 8 GiB. A log of',
             '1 GiB, with creates, renames, unlinks and extended attributes of short files; and the largest that `mkfs.xfs` makes, 2 GiB less 10 MiB, with',
             'longer attributes in larger inodes, for blocks that are many times more than what xfs_replay keeps in memory.', '',
             '| log | active | blocks changed | page cache | rounds | xfs_replay | kernel | floor | merged floor | faster than the kernel | times the floor | times the merged floor | peak memory |',
             '|' + ' --- |' * 13]
    for name, d in logs:
        for mode in [m for m in MODES if m in d]:
            m = d[mode]
            lines.append(f"| {name} | {d['log_bytes'] >> 20} MiB | {d['block_bytes'] >> 20} MiB | {mode} | {d['rounds']} | {m['tool']:.2f} | {m['kernel']:.2f} | "
                         f"{m['floor']:.2f} | {m['merged']:.2f} | {m['times_faster']:.2f} | {m['times_floor']:.2f} | {m['times_merged']:.2f} | {d['peak_kib'] / 1024:.0f} MiB |")
    lines.append('')
    for mode in MODES:
        m = data[mode]
        lines += [f"- {mode}, {m['times_faster']:.2f} times faster than the kernel, at least {FASTER}: {verdict(m['times_faster'] >= FASTER)}",
                  f"- {mode}, {m['times_floor']:.2f} times the floor, at most {FLOORS}: {verdict(m['times_floor'] <= FLOORS)}"]
    for name, d in logs:
        lines.append(f"- log {name}, peak memory {d['peak_kib'] / 1024:.0f} MiB, at most {PEAK}: {verdict(d['peak_kib'] <= PEAK << 10)}")
    with open(DOCS, encoding='utf-8') as file:
        rest = file.read().partition(TITLE + '\n')[0]
    path = os.path.join(sys.argv[2], 'performance.md')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(rest.rstrip() + '\n\n' + '\n'.join(lines) + '\n')
    print(f'tables: {path}')


main()
