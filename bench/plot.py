#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""plot.py JSON FOLDER: performance.md with its tables, and a plot for each size of view, made of what the bench measured.

The page's last part, about kernels, is boot/bench/bench.py's, and is kept.
"""
import json
import math
import os
import sys

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'docs', 'performance.md')
KERNEL = '# In a kernel'

WAYS = [('vmap', 'vmap_view()', '#c0392b'), ('loop', 'mmap loop', '#2980b9'), ('memcpy_warm', 'memcpy, warm', '#27ae60'),
        ('memcpy_fresh', 'memcpy, fresh', '#8e44ad'), ('iovec', 'iovec-aware', '#7f8c8d')]


def unit(size):
    return f'{size >> 20} MiB' if size >= 1 << 20 else f'{size >> 10} KiB'


def loop_of(point):
    """The hand-written loop fills page tables in the better of two ways."""
    both = [p for p in (point.get('loop'), point.get('loop_populate')) if p]
    point['loop'] = min(both, key=lambda p: p['median']) if both else None


def cell(point, way):
    if way not in point:
        return ''
    value = point[way]
    return f"{value['median'] / 1000:.1f} ({value['p99'] / 1000:.1f})" if value else 'over budget'


def verdict(point):
    even = point.get('break_even')
    if even is None:
        return ''
    return 'memcpy' if even > 1.005 else 'vmap'


def plot(points, size):
    """Time over chunk size, both logarithmic."""
    width, height, left, bottom = 640, 360, 70, 50
    shown = [(way, name, colour, [(p['chunk'], p[way]['median']) for p in points if p.get(way)]) for way, name, colour in WAYS]
    values = [v for _, _, _, line in shown for _, v in line]
    chunks = [p['chunk'] for p in points]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    first, last = math.log2(min(chunks)), math.log2(max(chunks)) or 1

    def x(chunk):
        return left + (math.log2(chunk) - first) / max(last - first, 1) * (width - left - 150)

    def y(value):
        return height - bottom - (math.log10(value) - low) / max(high - low, 1) * (height - bottom - 30)

    out = ['<!-- SPDX-License-Identifier: MIT -->',
           f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="{left}" y="18">A view of {unit(size)}: microseconds by size of the chunks</text>']
    for power in range(low, high + 1):
        out.append(f'<line x1="{left}" x2="{width - 150}" y1="{y(10 ** power):.1f}" y2="{y(10 ** power):.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{left - 6}" y="{y(10 ** power) + 4:.1f}" text-anchor="end">{10 ** power / 1000:g}</text>')
    for chunk in chunks:
        out.append(f'<text x="{x(chunk):.1f}" y="{height - bottom + 18}" text-anchor="middle">{unit(chunk)}</text>')
    for i, (_, name, colour, line) in enumerate(shown):
        if not line:
            continue
        path = ' '.join(f'{x(c):.1f},{y(v):.1f}' for c, v in line)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x(c):.1f}" cy="{y(v):.1f}" r="3" fill="{colour}"/>' for c, v in line]
        out.append(f'<text x="{width - 140}" y="{50 + 18 * i}" fill="{colour}">{name}</text>')
    return '\n'.join(out + ['</svg>', ''])


def main():
    with open(sys.argv[1], encoding='utf-8') as file:
        data = json.load(file)
    folder = sys.argv[2]
    lines = ['<!-- SPDX-License-Identifier: MIT -->', '# Performance', '',
             'Made by `ninja -C build bench`: medians of 31 rounds in which the ways are taken in turn; making a view, a look at each of its',
             'pages and ending it are counted. Ratios hold across machines better than times do.', '', '## Promises', '',
             '| | | figure | |', '| --- | --- | --- | --- |']
    for p in data['promises']:
        lines.append(f"| {p['number']} | {p['what']} | {p['figure']:.2f} {p['unit']} | {'holds' if p['holds'] else 'falls short'} |")
    for size in sorted({p['size'] for p in data['sweep']}):
        points = [p for p in data['sweep'] if p['size'] == size]
        for p in points:
            loop_of(p)
        lines += ['', f'## Views of {unit(size)}', '', 'Microseconds, median and 99th percentile. Break-even: copies that cost as much as one view.',
                  '', '| chunks of | ' + ' | '.join(name for _, name, _ in WAYS) + ' | break-even | cheaper for one use |',
                  '| --- |' + ' --- |' * (len(WAYS) + 2)]
        for p in points:
            even = p.get('break_even')
            lines.append(f"| {unit(p['chunk'])} | " + ' | '.join(cell(p, way) for way, _, _ in WAYS)
                         + f" | {'' if even is None else f'{even:.1f}'} | {verdict(p)} |")
        name = f'performance-{size >> 10}k.svg'
        if len(points) > 1:
            with open(os.path.join(folder, name), 'w', encoding='utf-8') as file:
                file.write(plot(points, size))
            lines += ['', f'![views of {unit(size)}]({name})']
    threads = data['threads']
    lines += ['', '## Two threads', '', f"64 scattered chunks of 64 KiB each: a view {threads['vmap'] / 1000:.1f} µs, "
              f"memcpy to a warm buffer {threads['memcpy_warm'] / 1000:.1f} µs.", '']
    with open(DOCS, encoding='utf-8') as file:
        _, title, kernel = file.read().partition(KERNEL)
    with open(os.path.join(folder, 'performance.md'), 'w', encoding='utf-8') as file:
        file.write('\n'.join(lines + ([title + kernel] if title else [])))


main()
