#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""plot.py JSON FOLDER: performance.md with its tables, and plots over sizes of chunks and over uses, made of what the bench measured.

The page's last parts, about kernels and about log recovery, are boot/bench/bench.py's and bench/xfs/page.py's, and are kept.
"""
import json
import math
import os
import sys

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'docs', 'performance.md')
KERNEL = '# In a kernel'

NOTES = """
1. The loop is the best that one can write by hand: a reservation of exactly the view's size and without guards, one `mmap()` a run, page tables
   filled by `MADV_POPULATE_READ`, by `MAP_POPULATE` or by the look, whichever is fastest, `PROT_NONE` put back at the end. The ratio is the
   median of the rounds' own, of all threads together. In the same rounds the loop is measured twice and compared to itself, in brackets: what that
   differs from 1 by is the machine's, and no ratio beside it says more than that: two or three hundredths with one thread; where two want the
   kernel's one lock of all mappings, and other programs the CPUs, up to a tenth. What a view costs besides (finding a range, references, the
   budget, statistics) is about two microseconds, and a twentieth of one for each chunk. What pays for it is that page tables are filled by
   windows, and that the place of the last view is kept. Views of few or small chunks are too cheap for that to vanish: one chunk of 64 KiB, two
   of 2 MiB or 16 of 4 KiB, where windows are of no use, cost about a tenth more than the loop.
2. By coalescing, of pages as a pool has them by default: transparent 2 MiB pages, as far as the kernel gives any. Then neighbours share entries of
   the page table, and a run costs what a chunk does. Without them (`VMAP_HUGE_NO`, or a kernel that has none to give) 16 entries a chunk are
   filled and emptied either way; coalescing saves the calls only, and that is worth the second figure.
3. A hit in the cache and its end, in one thread.
4. Reserved pages where they could be had for the bench, else transparent ones.
5. With `VMAP_NO_GUARD` the pool's own mapping is the view.
""".strip('\n')

WAYS = [('vmap', 'vmap_view()', '#c0392b'), ('loop', 'mmap loop', '#2980b9'), ('memcpy_warm', 'memcpy, warm', '#27ae60'),
        ('memcpy_fresh', 'memcpy, fresh', '#8e44ad'), ('iovec', 'iovec-aware', '#7f8c8d')]


def unit(size):
    return f'{size >> 20} MiB' if size >= 1 << 20 else f'{size >> 10} KiB'


def loop_of(point):
    """The hand-written loop fills page tables in the best of three ways."""
    ways = [p for p in (point.get(way) for way in ('loop', 'loop_populate', 'loop_touch')) if p]
    point['loop'] = min(ways, key=lambda p: p['median']) if ways else None


def cell(point, way):
    if way not in point:
        return ''
    value = point[way]
    return f"{value['median'] / 1000:.1f} ({value['p99'] / 1000:.1f})" if value else 'over budget'


def ratio(point):
    return f"{point['ratio']:.2f} ({point['itself']:.2f})" if 'ratio' in point else ''


def plot(shown, title, label):
    """Microseconds over something, both logarithmic. shown: name, colour and points of each line; label: of an x."""
    width, height, left, bottom = 640, 360, 70, 50
    values = [v for _, _, line in shown for _, v in line]
    marks = sorted({x for _, _, line in shown for x, _ in line})
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    first, last = math.log2(marks[0]), math.log2(marks[-1])

    def x(mark):
        return left + (math.log2(mark) - first) / max(last - first, 1) * (width - left - 150)

    def y(value):
        return height - bottom - (math.log10(value) - low) / max(high - low, 1) * (height - bottom - 30)

    out = ['<!-- SPDX-License-Identifier: MIT -->',
           f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="white"/>', f'<text x="{left}" y="18">{title}</text>']
    for power in range(low, high + 1):
        out.append(f'<line x1="{left}" x2="{width - 150}" y1="{y(10 ** power):.1f}" y2="{y(10 ** power):.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{left - 6}" y="{y(10 ** power) + 4:.1f}" text-anchor="end">{10 ** power / 1000:g}</text>')
    for mark in marks:
        out.append(f'<text x="{x(mark):.1f}" y="{height - bottom + 18}" text-anchor="middle">{label(mark)}</text>')
    for i, (name, colour, line) in enumerate(shown):
        if not line:
            continue
        path = ' '.join(f'{x(c):.1f},{y(v):.1f}' for c, v in line)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x(c):.1f}" cy="{y(v):.1f}" r="3" fill="{colour}"/>' for c, v in line]
        out.append(f'<text x="{width - 140}" y="{50 + 18 * i}" fill="{colour}">{name}</text>')
    return '\n'.join(out + ['</svg>', ''])


def write(folder, name, text):
    with open(os.path.join(folder, name), 'w', encoding='utf-8') as file:
        file.write(text)


def sizes(data, folder):
    """Each size of view: a table over chunks, and its plot."""
    lines = []
    for size in sorted({p['size'] for p in data['sweep']}):
        points = [p for p in data['sweep'] if p['size'] == size]
        lines += ['', f'## Views of {unit(size)}', '', 'Microseconds, median and 99th percentile, of a view that is used once.', '',
                  '| chunks of | ' + ' | '.join(name for _, name, _ in WAYS) + ' | to the loop (it to itself) | cheaper |', '| --- |' + ' --- |' * (len(WAYS) + 2)]
        for p in points:
            view, copy = p.get('vmap'), p.get('memcpy_warm')
            cheaper = '' if not view or not copy else 'memcpy' if copy['median'] < view['median'] else 'vmap'
            lines.append(f"| {unit(p['chunk'])} | " + ' | '.join(cell(p, way) for way, _, _ in WAYS) + f' | {ratio(p)} | {cheaper} |')
        if len(points) > 1:
            name = f'performance-{size >> 10}k.svg'
            shown = [(title, colour, [(p['chunk'], p[way]['median']) for p in points if p.get(way)]) for way, title, colour in WAYS]
            write(folder, name, plot(shown, f'A view of {unit(size)}: microseconds by size of the chunks', unit))
            lines += ['', f'![views of {unit(size)}]({name})']
    return lines


def reuse(data, folder):
    """How often a view has to be used to be cheaper than a copy a use; a table and a plot for each size of chunks."""
    points, plots = data['reuse'], ['']
    uses = sorted({p['uses'] for p in points})
    lines = ['', '## Reuse', '', f"Microseconds a use of a view of {unit(points[0]['size'])} that is used so often before it ends; a copy is made for each use.",
             'Break-even: uses from which on the view is cheaper, of its own cost and that of looking.', '',
             '| chunks of | | ' + ' | '.join(f'{n} uses' if n > 1 else 'once' for n in uses) + ' | break-even |', '| --- | --- |' + ' --- |' * (len(uses) + 1)]
    for chunk in sorted({p['chunk'] for p in points}):
        those = [p for p in points if p['chunk'] == chunk]
        even = next((p['break_even'] for p in those if p.get('break_even') is not None), None)
        for way, name, _ in WAYS:
            if not those[0].get(way):
                continue
            last = '' if way != 'vmap' or even is None else f'{even:.1f}' if even > 0 else 'never'
            lines.append(f'| {unit(chunk)} | {name} | ' + ' | '.join(f"{p[way]['median'] / p['uses'] / 1000:.1f}" for p in those) + f' | {last} |')
        name = f'performance-reuse-{chunk >> 10}k.svg'
        shown = [(title, colour, [(p['uses'], p[way]['median'] / p['uses']) for p in those if p.get(way)]) for way, title, colour in WAYS]
        write(folder, name, plot(shown, f'Chunks of {unit(chunk)}: microseconds a use, by uses of one view', str))
        plots.append(f'![reuse, chunks of {unit(chunk)}]({name})')
    return lines + plots


def crowd(data):
    """Threads, and an old process."""
    points = data['crowd']
    shown = [w for w in WAYS if points[0].get(w[0])]
    lines = ['', '## Threads, and other mappings', '', f"Microseconds, median and 99th percentile, of a view of {unit(points[0]['size'])}; two threads have views of their own at once.",
             '', '| chunks of | threads | other mappings | ' + ' | '.join(name for _, name, _ in shown) + ' | to the loop (it to itself) |', '| --- | --- | --- |' + ' --- |' * (len(shown) + 1)]
    for p in points:
        lines.append(f"| {unit(p['chunk'])} | {p['threads']} | {p['mappings']} | " + ' | '.join(cell(p, way) for way, _, _ in shown) + f' | {ratio(p)} |')
    return lines


def main():
    with open(sys.argv[1], encoding='utf-8') as file:
        data = json.load(file)
    folder = sys.argv[2]
    for p in [p for name in ('sweep', 'reuse', 'crowd') for p in data[name]]:
        loop_of(p)
    lines = ['<!-- SPDX-License-Identifier: MIT -->', '# Performance', '',
             'Made by `ninja -C build bench`: medians of at least 31 rounds in which the ways are taken in turn, in an order drawn by lot; making a',
             'view, a look at each of its pages and ending it are counted. The time in which another program had the CPU is not, but where two threads',
             'are measured. Ratios hold across machines better than times do.', '', '## Promises', '',
             '| | | figure | |', '| --- | --- | --- | --- |']
    for p in data['promises']:
        lines.append(f"| {p['number']} | {p['what']} | {p['figure']:.2f} {p['unit']} | {'holds' if p['holds'] else 'falls short'} |")
    lines += ['', NOTES]
    lines += sizes(data, folder) + reuse(data, folder) + crowd(data) + ['']
    with open(DOCS, encoding='utf-8') as file:
        _, title, kernel = file.read().partition(KERNEL)
    write(folder, 'performance.md', '\n'.join(lines + ([title + kernel] if title else [])))


main()
