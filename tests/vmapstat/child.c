/* SPDX-License-Identifier: MIT */
/* child WHAT: have three pools and some views, or what only looks like it; write a line, and wait for the end of standard input. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vmap/cache.h>
#include <vmap/view.h>
#include "linux/statpage.h"

static int pools(void)
{
	const struct vmap_process_config first = {
		.name = "first", .mappings_max = 100, .huge = VMAP_HUGE_NO, .pool_max = 64 << 20};
	const struct vmap_process_config second = {.name = "second", .mappings_max = 3};
	static struct vmap_process *one, *two; /* not lost when this ends */
	struct vmap_page *pages[16];
	struct vmap_view view;

	if (vmap_process_create(&first, &one) || vmap_process_create(&second, &two) || vmap_page_alloc(one, 4, 16, pages))
		return 1;
	struct vmap_page *some[] = {pages[9], pages[10], pages[3], pages[1]};

	if (vmap_view(one, some, 4, NULL, &view) || vmap_view(one, pages, 16, NULL, &view))
		return 1;
	if (vmap_page_alloc(two, 0, 8, pages) || vmap_view(two, some, 0, NULL, &view) != -VMAP_EINVAL)
		return 1;
	some[0] = pages[2];
	some[1] = pages[4];
	some[2] = pages[6];
	return vmap_view(two, some, 3, NULL, &view) != -VMAP_EOVERFLOW;
}

/* A pool with a cache: two misses, three hits, one view that was dropped. */
static int cache(void)
{
	const struct vmap_process_config third = {.name = "third", .huge = VMAP_HUGE_NO};
	static struct vmap_process *process;
	static struct vmap_cache *kept;
	struct vmap_page *pages[3];
	struct vmap_cached view;

	if (vmap_process_create(&third, &process) || vmap_cache_create(process, NULL, &kept) ||
	    vmap_page_alloc(process, 0, 3, pages))
		return 1;
	struct vmap_page *some[] = {pages[2], pages[0]};

	if (vmap_cache_get(kept, pages, 3, &view) || vmap_cache_put(kept, &view))
		return 1;
	for (size_t i = 0; i < 3; i++) {
		if (vmap_cache_get(kept, some, 2, &view) || vmap_cache_put(kept, &view))
			return 1;
	}
	if (vmap_cache_again(kept, view.handle, &view) || vmap_cache_put(kept, &view))
		return 1;
	vmap_cache_trim(kept, 1);
	return 0;
}

/* A page by the right name, of so many bytes; good: one that may be believed, but for what is in its name. */
static int forge(size_t size, bool good)
{
	struct vmap_stat_page page;
	int fd = memfd_create(VMAP_STAT_NAME, 0);

	memset(&page, 0xff, sizeof(page));
	if (good) {
		page.magic = VMAP_STAT_MAGIC;
		page.version = VMAP_STAT_VERSION;
		page.size = sizeof(page);
		page.space_size = 0;
		strcpy(page.name, "red \033[31m \"\\ \xc3");
	}
	return fd < 0 || write(fd, &page, size) != (ssize_t)size;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int err = 0;

	if (!strcmp(what, "pools"))
		err = pools() || cache();
	else if (!strcmp(what, "forged"))
		err = forge(sizeof(struct vmap_stat_page), true);
	else if (!strcmp(what, "garbage"))
		err = forge(sizeof(struct vmap_stat_page), false);
	else if (!strcmp(what, "short"))
		err = forge(40, true);
	if (err)
		return 1;
	puts("ready");
	fflush(stdout);
	return getchar() != EOF;
}
