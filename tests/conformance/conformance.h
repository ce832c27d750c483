/* SPDX-License-Identifier: MIT */
#ifndef VMAP_CONFORMANCE_H
#define VMAP_CONFORMANCE_H

#include <stdbool.h>
#include <vmap/vmap.h>

/*
 * The conformance suite: what the headers of the core promise, tested through one small interface over every host
 *
 * A host's test program fills in a struct conformance_host and calls conformance_run() from main(). All functions but
 * setup and teardown may be called from several threads at once.
 */

/* One host with one space in it, as a test uses it. setup fills in every member. */
struct conformance_bed {
	const struct conformance_host *host; /* filled in before setup is called */
	struct vmap_space *space;
	uintptr_t base; /* first address of the space */
	size_t size; /* bytes of the space */
	size_t page_size; /* bytes of a base page */
	void *data; /* the host's own */
};

struct conformance_host {
	const char *name;

	size_t page_size; /* bytes of a base page; 0: 4 KiB */

	/*
	 * Make a host and a space of exactly this many bytes (a multiple of 16 base pages, at most 16,384) with this lazy_max, able to
	 * make at least 4,096 base pages. 0, or anything else after saying why on stderr.
	 */
	int (*setup)(struct conformance_bed *bed, size_t size, size_t lazy_max);

	/*
	 * Destroy the space and the host; the tests have unmapped and put everything that they mapped and made. 0, or anything
	 * else after saying on stderr what was left behind or done wrong: pages, descriptors, references, translations.
	 */
	int (*teardown)(struct conformance_bed *bed);

	/* Make pages (one reference each), take references, give them back. page_alloc returns 0 or a negative error number. */
	int (*page_alloc)(struct conformance_bed *bed, unsigned order, size_t n, struct vmap_page **pages);
	void (*page_get)(struct conformance_bed *bed, struct vmap_page *const *pages, size_t n);
	void (*page_put)(struct conformance_bed *bed, struct vmap_page *const *pages, size_t n);

	/* How many references a page has now. The descriptor of a page that is free is still there and has 0. */
	unsigned (*page_refs)(struct conformance_bed *bed, const struct vmap_page *page);

	/* Where a page's bytes are, by the host's own way to them and not through the space. */
	unsigned char *(*page_bytes)(struct conformance_bed *bed, const struct vmap_page *page);

	/* Bytes of pages in use now: 0 when every page is free. */
	size_t (*pages_used)(struct conformance_bed *bed);

	/* Read or write one byte at a virtual address, as a program would. false: the access faulted. */
	bool (*read)(struct conformance_bed *bed, uintptr_t addr, unsigned char *value);
	bool (*write)(struct conformance_bed *bed, uintptr_t addr, unsigned char value);

	/*
	 * Where the host has map_pfn, else NULL: numbers of up to 8 frames that have no page, where the bytes of one are, and the memory
	 * type (VMAP_UNCACHED, ... or 0) with which addr is mapped.
	 */
	void (*device_frames)(struct conformance_bed *bed, uint64_t *frames, size_t n);
	unsigned char *(*frame_bytes)(struct conformance_bed *bed, uint64_t frame);
	unsigned (*memory_type)(struct conformance_bed *bed, uintptr_t addr);

	/* Optional: what this thread does next must not sleep (true), or may again. A host that can tell says so in teardown. */
	void (*atomic)(bool atomic);

	/* Optional, where the host has the cpu hook: this thread goes on on that CPU, 0 or 1. */
	void (*run_on)(unsigned cpu);

	/* The host has the purge_wake hook, and a thread that calls vmap_purge() when it was called. */
	bool worker;
};

/* Run every test over this host. Returns what main() returns: 0 when all passed. */
int conformance_run(const struct conformance_host *host);

#endif
