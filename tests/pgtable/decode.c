// SPDX-License-Identifier: MIT
/*
 * Theory: three translation algorithms, each in the words of its manual: Intel SDM volume 3A 4.5; Arm ARM D8.2 to D8.6; RISC-V
 * Privileged Architecture, "Virtual Address Translation Process" with Svnapot and Svpbmt. Each also reports what hardware would put up
 * with or the manual leaves open, but a careful kernel does not write.
 */
#include "decode.h"

struct walk {
	const struct decode_mode *mode;
	uint64_t (*read)(void *arg, uint64_t phys);
	void *arg;
	struct decode_result r;
};

static uint64_t bits(uint64_t value, unsigned high, unsigned low)
{
	return value >> low & (~0ull >> (63 - (high - low)));
}

static uint64_t fetch(struct walk *walk, uint64_t phys)
{
	uint64_t entry = walk->read(walk->arg, phys);

	walk->r.slot[walk->r.slots] = phys;
	walk->r.entry[walk->r.slots++] = entry;
	return entry;
}

static void malformed(struct walk *walk, const char *what)
{
	if (!walk->r.malformed)
		walk->r.malformed = what;
}

static void x86_64(struct walk *walk, uint64_t cr3, uint64_t va)
{
	unsigned top = walk->mode->va_bits == 57 ? 5 : 4;
	uint64_t table = cr3, e;

	walk->r.writable = walk->r.executable = true;
	for (unsigned level = top; level > 0; level--) {
		unsigned low = 12 + 9 * (level - 1);

		walk->r.size = 1ull << low;
		e = fetch(walk, table + 8 * bits(va, low + 8, low));
		if (!bits(e, 0, 0))
			return;
		walk->r.writable &= bits(e, 1, 1);
		walk->r.executable &= !bits(e, 63, 63);
		if (bits(e, 2, 2))
			malformed(walk, "user access");
		if (!bits(e, 5, 5))
			malformed(walk, "accessed is clear: the CPU writes to the entry");
		if (level == 1 || bits(e, 7, 7)) {
			if (level > 3)
				malformed(walk, "PS is reserved in a PML4E or PML5E");
			if (level > 1 && bits(e, low - 1, 13))
				malformed(walk, "reserved address bits of a large page are set");
			if (!bits(e, 6, 6))
				malformed(walk, "dirty is clear");
			walk->r.valid = true;
			walk->r.pa = (bits(e, 51, low) << low) | bits(va, low - 1, 0);
			walk->r.memory = (unsigned)(bits(e, 4, 3) | (level == 1 ? bits(e, 7, 7) : bits(e, 12, 12)) << 2);
			walk->r.global = bits(e, 8, 8);
			return;
		}
		if (bits(e, 8, 8))
			malformed(walk, "G in an entry that refers to a table");
		table = bits(e, 51, 12) << 12;
	}
}

/* All entries of a contiguous set are there, follow each other, and say the same. */
static void arm_contiguous(struct walk *walk, uint64_t e, uint64_t slot, unsigned low, unsigned level)
{
	unsigned granule = walk->mode->granule;
	unsigned n = granule == 12 ? 16 : granule == 16 ? 32 : level == 3 ? 128 : 32;
	uint64_t first = slot & ~(8ull * n - 1), oa = bits(e, 47, low) << low, other;

	oa &= ~((uint64_t)n * (1ull << low) - 1);
	for (unsigned i = 0; i < n; i++) {
		other = walk->read(walk->arg, first + 8 * i);
		if (bits(other, 47, low) << low != oa + ((uint64_t)i << low))
			malformed(walk, "the addresses of a contiguous set do not follow each other");
		else if ((other ^ e) & ~(bits(~0ull, 47, low) << low))
			malformed(walk, "the entries of a contiguous set differ");
	}
	walk->r.size = (uint64_t)n << low;
}

static void aarch64(struct walk *walk, uint64_t ttbr, uint64_t va)
{
	unsigned granule = walk->mode->granule, stride = granule - 3, high = walk->mode->va_bits - 1;
	unsigned level = 4 - (walk->mode->va_bits - granule + stride - 1) / stride;
	uint64_t table = ttbr, e;

	for (;; level++) {
		unsigned low = granule + stride * (3 - level);

		walk->r.size = 1ull << low;
		e = fetch(walk, table + 8 * bits(va, high, low));
		if (!bits(e, 0, 0))
			return;
		if (level < 3 && bits(e, 1, 1)) {
			if (bits(e, 63, 59))
				malformed(walk, "hierarchical attributes");
			table = bits(e, 47, granule) << granule;
			high = low - 1;
			continue;
		}
		if (level == 3 && !bits(e, 1, 1))
			malformed(walk, "reserved encoding at level 3");
		if (level < 3 && (level == 0 || (level == 1 && granule != 12)))
			malformed(walk, "a block where there is none");
		if (low > granule && bits(e, low - 1, granule))
			malformed(walk, "reserved address bits of a block are set");
		if (!bits(e, 10, 10))
			malformed(walk, "access flag is clear");
		if (bits(e, 9, 8) != 3)
			malformed(walk, "not inner shareable");
		if (bits(e, 6, 6) || !bits(e, 54, 54))
			malformed(walk, "EL0 has access, or may execute");
		walk->r.valid = true;
		walk->r.pa = (bits(e, 47, low) << low) | bits(va, low - 1, 0);
		walk->r.writable = !bits(e, 7, 7);
		walk->r.executable = !bits(e, 53, 53);
		walk->r.memory = (unsigned)bits(e, 4, 2);
		walk->r.global = !bits(e, 11, 11);
		if (bits(e, 52, 52))
			arm_contiguous(walk, e, walk->r.slot[walk->r.slots - 1], low, level);
		return;
	}
}

static void riscv_leaf(struct walk *walk, uint64_t e, uint64_t va, int i)
{
	unsigned low = 12 + 9 * (unsigned)i;
	uint64_t ppn = bits(e, 53, 10), slot = walk->r.slot[walk->r.slots - 1];

	if (i > 0 && bits(ppn, 9 * (unsigned)i - 1, 0))
		malformed(walk, "misaligned superpage");
	if (!bits(e, 6, 6) || !bits(e, 7, 7))
		malformed(walk, "A or D is clear");
	if (bits(e, 4, 4))
		malformed(walk, "U is set");
	if (bits(e, 62, 61) == 3 || (bits(e, 62, 61) && !walk->mode->svpbmt) || bits(e, 60, 54))
		malformed(walk, "reserved bits of a leaf are set");
	if (bits(e, 63, 63)) {
		if (!walk->mode->svnapot || i || bits(ppn, 3, 0) != 8)
			malformed(walk, "reserved NAPOT encoding");
		for (unsigned k = 0; k < 16; k++)
			if (walk->read(walk->arg, (slot & ~127ull) + 8 * k) != e)
				malformed(walk, "the entries of a NAPOT range differ");
		ppn = (ppn & ~15ull) | bits(va, 15, 12);
		walk->r.size = 1 << 16;
	}
	walk->r.valid = true;
	walk->r.pa = (ppn << 12) | bits(va, low - 1, 0);
	walk->r.writable = bits(e, 2, 2);
	walk->r.executable = bits(e, 3, 3);
	walk->r.memory = (unsigned)bits(e, 62, 61);
	walk->r.global = bits(e, 5, 5);
}

static void riscv64(struct walk *walk, uint64_t root, uint64_t va)
{
	uint64_t a = root, pte;

	for (int i = (int)(walk->mode->va_bits - 12) / 9 - 1; i >= 0; i--) {
		unsigned low = 12 + 9 * (unsigned)i;

		walk->r.size = 1ull << low;
		pte = fetch(walk, a + 8 * bits(va, low + 8, low));
		if (!bits(pte, 0, 0))
			return;
		if (!bits(pte, 1, 1) && bits(pte, 2, 2))
			malformed(walk, "W without R");
		if (bits(pte, 1, 1) || bits(pte, 3, 3)) {
			riscv_leaf(walk, pte, va, i);
			return;
		}
		if (bits(pte, 7, 6) || bits(pte, 4, 4) || bits(pte, 63, 54))
			malformed(walk, "reserved bits of a pointer are set");
		a = bits(pte, 53, 10) << 12;
	}
	malformed(walk, "a pointer at level 0");
}

struct decode_result decode(const struct decode_mode *mode, uint64_t root, uint64_t va,
			    uint64_t (*read)(void *arg, uint64_t phys), void *arg)
{
	struct walk walk = {.mode = mode, .read = read, .arg = arg};

	if (mode->arch == ARCH_X86_64)
		x86_64(&walk, root, va);
	else if (mode->arch == ARCH_AARCH64)
		aarch64(&walk, root, va);
	else
		riscv64(&walk, root, va);
	return walk.r;
}
