#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench.py FOLDER COUNT CPUS: run the bench's two kernels under QEMU, print what they measured, beside Linux's figures, and
write it down as the part of docs/performance.md that is about kernels, in FOLDER/performance.md.

COUNT runs on one CPU and a clock that counts instructions, twice: its figures must repeat within 1 %. CPUS runs on two CPUs and
a clock that shows time. Exit status: 1 where figures do not repeat, or a kernel fails.
"""
import os
import statistics
import subprocess
import sys
import time

# Debian's Linux 6.1.192, instructions: measured by a module in a guest under the same QEMU and clock, with scattered order-0 pages,
# 4000 rounds; vmap() and vunmap(), vm_map_ram() and vm_unmap_ram(). It takes no page references; vm_map_ram() has no guards.
LINUX = {('map', 1): 2612, ('map', 4): 2799, ('map', 16): 3760, ('map', 64): 7646, ('map', 256): 23193,
         ('ram', 1): 924, ('ram', 4): 1215, ('ram', 16): 2335, ('ram', 64): 6860, ('ram', 256): 22657}

# Its flushes, from mm/vmalloc.c and the Debian configuration. lazy_max_pages() is 32 MiB times fls(CPUs online); whatever adds up to more
# wakes a worker, which flushes once. An area counts with its guard. Up to 64 pages (VMAP_MAX_ALLOC) come out of blocks, whose
# space counts when a block has been used up; with NR_CPUS=8192 a block has VMALLOC_PAGES / 8192 / 16 = 256 pages. More
# pages are an area of their own, without a guard. That the worker may come late is left out: it would flush less often then.
# flush_tlb_kernel_range() interrupts every other CPU that is online, once a flush.
LAZY_PAGES = 8192
BLOCK_PAGES = 256
BLOCK_MOST = 64

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'docs', 'performance.md')
TITLE = '# In a kernel'  # bench/plot.py writes what stands before it
NEXT = '# Log recovery'  # and bench/xfs/page.py what follows

REPEAT = 1.0  # per cent
LIVE = 1.2
WORK = 1.5
CONTENDED = 1.0  # per cent
MACHINE = 'machine'  # CPUs that share nothing: what the machine can do
GIVEN = 1.9  # CPUs that the machine must give for its clock to be used

QEMU = ['qemu-system-x86_64', '-m', '512M', '-M', 'pc', '-cpu', 'max', '-nodefaults', '-display', 'none', '-no-reboot', '-serial',
        'stdio', '-device', 'isa-debug-exit,iobase=0xf4,iosize=4', '-name', 'bench,debug-threads=on']
COUNTING = ['-accel', 'tcg', '-icount', 'shift=0,sleep=off', '-smp', '1']
TWO_CPUS = ['-accel', 'tcg,thread=multi', '-smp', '2']


def linux_flushes(call, pages, cpus):
    """Flushes for 1000 maps and unmaps."""
    size = pages + 1 if call == 'map' else pages
    unit = BLOCK_PAGES if call == 'ram' and pages <= BLOCK_MOST else size
    units = LAZY_PAGES * cpus.bit_length() // unit + 1  # until a flush
    return 1000 * size / (units * unit)


def cpu_times(pid):
    """Seconds that each virtual CPU's thread has run."""
    times = []
    for task in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{task}/comm', encoding='ascii') as file:
            name = file.read().split()
        if name[0] == 'CPU':
            with open(f'/proc/{pid}/task/{task}/schedstat', encoding='ascii') as file:
                times.append((int(name[1].split('/')[0]), int(file.read().split()[0]) / 1e9))
    return [seconds for _, seconds in sorted(times)]


def first():
    """What is measured by time goes before what else the machine does, where the user may say so: in its session, and its session too."""
    try:
        os.nice(-20)
        with open('/proc/self/autogroup', 'w', encoding='ascii') as file:
            file.write('-20')
    except OSError:
        pass


def run(kernel, machine):
    """What the kernel prints, as dictionaries; a run of two CPUs knows what share of the time each was given."""
    records, before, last = [], None, ''
    with subprocess.Popen(QEMU + machine + ['-kernel', kernel], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          errors='replace', start_new_session=True, preexec_fn=first if machine == TWO_CPUS else None) as qemu:
        for last in qemu.stdout:
            words = last.split()
            if words[:1] == ['begin']:
                before = time.monotonic(), cpu_times(qemu.pid)
            elif words and words[0] in ('table', 'scenario', 'run'):
                record = {'kind': words[0]}
                record.update((name, int(value) if value.isdigit() else value) for name, value in zip(words[1::2], words[2::2]))
                if words[0] == 'run':
                    seconds = time.monotonic() - before[0]
                    record['given'] = [(b - a) / seconds for a, b in zip(before[1], cpu_times(qemu.pid))]
                records.append(record)
            elif words[:1] == ['end']:
                break
            elif words:
                print(last, end='', file=sys.stderr)
        qemu.stdout.read()
    if qemu.returncode != 1 or words[:1] != ['end']:  # isa-debug-exit cannot give 0
        sys.exit(f'bench.py: {kernel}: QEMU ended with {qemu.returncode}; the last line was: {last.strip()}')
    return records


def cost(record):
    return record['ticks'] / record['rounds']


def largest_deviation(first, second):
    """In per cent, of figures that should be the same."""
    pairs = [(cost(a), cost(b)) for a, b in zip(first, second, strict=True)]
    return max(abs(a - b) / min(a, b) * 100 for a, b in pairs)


def verdict(holds):
    return 'holds' if holds else 'falls short'


class Page:
    """Tables, for a terminal and for the page of documentation at once."""

    def __init__(self):
        self.lines = [TITLE, '', 'Made by `ninja -C build bench-boot`, on the test kernel for x86-64 under QEMU.', '']

    def section(self, title, text):
        print(f'\n{title}')
        self.lines += [f'## {title}', '', text, '']

    def table(self, head, rows):
        rows = [[str(cell) for cell in row] for row in rows]
        widths = [max(len(row[i]) for row in [head] + rows) for i in range(len(head))]
        for row in [head] + rows:
            print('  '.join(cell.rjust(width) for cell, width in zip(row, widths)))
        self.lines += ['| ' + ' | '.join(row) + ' |' for row in [head, ['---'] * len(head)] + rows]
        self.lines.append('')

    def verdicts(self, rows):
        for row in rows:
            print(row)
        self.lines += [f'- {row}' for row in rows] + ['']

    def write(self, path):
        with open(DOCS, encoding='utf-8') as file:
            before, _, behind = file.read().partition(TITLE)
        _, title, after = behind.partition(NEXT)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(before.rstrip() + '\n\n' + '\n'.join(self.lines).rstrip() + '\n' + ('\n' + title + after if title else ''))


def show_table(page, counted, two):
    """Gives the worst ratio by whether pages are borrowed or referenced."""
    page.section('A map and its unmap', 'Instructions for both, of scattered order-0 pages; flushes on one CPU, and interrupts to the other of two '
                 'CPUs, for 1000 of them. Linux is 6.1.192 (Debian): its instructions measured in the same way, its flushes and interrupts read '
                 'from its source (boot/bench/bench.py says how); it takes no page references, and its `vm_map_ram()` has no guards.')
    worst, rows, fewer = {}, [], {'flushes': True, 'interrupts': True}
    for a, b in zip(counted, two, strict=True):
        call, pages = a['call'], a['pages']
        theirs, ratio = LINUX[call, pages], cost(a) / LINUX[call, pages]
        flushes, ipis = 1000 * a['flushes'] / a['rounds'], 1000 * b['ipis'] / b['rounds']
        worst[a['how']] = max(ratio, worst.get(a['how'], 0))
        fewer['flushes'] &= flushes <= linux_flushes(call, pages, 1)
        fewer['interrupts'] &= ipis <= linux_flushes(call, pages, 2)
        rows.append([pages, 'vmap' if call == 'map' else 'vm_map_ram', a['how'], f'{cost(a):.0f}', theirs, f'{ratio:.2f}', f'{flushes:.2f}',
                     f'{linux_flushes(call, pages, 1):.2f}', f'{ipis:.2f}', f'{linux_flushes(call, pages, 2):.2f}'])
    page.table(['pages', 'as', 'pages are', 'libvmap', 'Linux', 'ratio', 'flushes', 'Linux', 'interrupts', 'Linux'], rows)
    page.verdicts([f'no more {what} than Linux: {verdict(holds)}' for what, holds in fewer.items()])
    return worst


def show_scenarios(page, records):
    page.section('The scenarios of lib/test_vmalloc.c', 'Instructions for making an area and ending it, pages and flushes included. Every page was '
                 'stamped, through the mapping and behind it, and the stamps were found.')
    page.table(['scenario', 'live areas', 'instructions', 'operations', 'flushes for 1000', 'stamps'],
               [[r['name'], r['live'], f'{cost(r):.0f}', r['rounds'], f"{1000 * r['flushes'] / r['rounds']:.2f}", r['checked']]
                for r in records])
    busy = [cost(r) for r in records if r['name'] == 'long_busy_list']
    ratio = busy[1] / busy[0]
    page.verdicts([f'15,000 live areas cost {ratio:.2f} times what none do, at most {LIVE}: {verdict(ratio <= LIVE)}'])


def rate(record, shares):
    """Operations a tick, by what share of the time each CPU was given."""
    return sum(record[name] / share for name, share in zip(('operations', 'second'), shares)) / record['ticks']


def show_two(page, records):
    page.section('Two CPUs', 'Work of two CPUs, each with pages of its own, in the space of one: multi-threaded TCG, medians of 15 runs of one CPU and '
                 f'of two in turn. Where the machine gives the two CPUs less than {GIVEN} of its own, because something else runs on it, the time counts '
                 f'that it did give. `{MACHINE}` is what two CPUs of it do that share nothing: each fills memory of its own.')
    rows, verdicts = [], []
    for work in dict.fromkeys(r['work'] for r in records):
        one, two = ([r for r in records if r['work'] == work and r['cpus'] == n] for n in (1, 2))
        wall = statistics.median(rate(b, [1, 1]) / rate(a, [1]) for a, b in zip(one, two))
        # A run whose begin and end were read at once, as this program had to wait for a CPU, says nothing here.
        given = statistics.median(rate(b, b['given']) / rate(a, a['given'][:1]) for a, b in zip(one, two)
                                  if a['given'][0] and all(b['given']))
        cpus = statistics.median(sum(r['given']) for r in two)
        contended = 100 * sum(r['contended'] for r in two) / sum(r['operations'] + r['second'] for r in two)
        rows.append([work, f'{wall:.2f}', f'{given:.2f}', f'{cpus:.2f}', f'{contended:.2f}'])
        by, times = ('the clock', wall) if cpus >= GIVEN else ('the time given', given)
        if work == MACHINE:
            continue
        verdicts += [f'{work}: {times:.2f} times the work by {by}, at least {WORK}: {verdict(times >= WORK)}',
                     f'{work}: {contended:.2f} contended locks in 100 operations, at most {CONTENDED}: {verdict(contended <= CONTENDED)}']
    page.table(['scenario', 'times the work', 'by the time given', 'CPUs given', 'contended in 100'], rows)
    page.verdicts(verdicts)


def main():
    folder, count, cpus = sys.argv[1:]
    once, again = run(count, COUNTING), run(count, COUNTING)
    two = run(cpus, TWO_CPUS)
    page = Page()
    worst = show_table(page, [r for r in once if r['kind'] == 'table'], [r for r in two if r['kind'] == 'table'])
    show_scenarios(page, [r for r in once if r['kind'] == 'scenario'])
    show_two(page, [r for r in two if r['kind'] == 'run'])
    deviation = largest_deviation(once, again)
    page.section('In short', 'Instructions, ours to those of Linux, where a fifth (borrowed) and a third (references) are wanted.')
    page.verdicts([f'figures repeat within {REPEAT:.0f} %, the largest deviation is {deviation:.3f} %: {verdict(deviation <= REPEAT)}']
                  + [f'worst ratio to Linux, {how} {worst[how]:.2f}' for how in ('borrowed', 'references')])
    page.write(os.path.join(folder, 'performance.md'))
    sys.exit(deviation > REPEAT)


main()
