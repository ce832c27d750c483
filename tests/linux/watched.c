/* SPDX-License-Identifier: MIT */
/* watched WHAT: make a mistake, or none, for watched.sh to see it reported. */
#include <stdio.h>
#include <string.h>
#include <vmap/view.h>

static int touch(const volatile char *at)
{
	return *at;
}

int main(int argc, char **argv)
{
	const struct vmap_process_config small = {.pool_max = 64 << 20, .space_size = 256 << 20};
	const char *what = argc > 1 ? argv[1] : "";
	struct vmap_process *process;
	struct vmap_page *pages[4];
	struct vmap_view view;
	char *kept, *freed, *shown;

	if (vmap_process_create(&small, &process) || vmap_page_alloc(process, 4, 4, pages))
		return 2;
	kept = vmap_page_address(process, pages[0]);
	freed = vmap_page_address(process, pages[3]);
	memset(kept, 1, 65536);
	memset(freed, 2, 65536);
	vmap_page_put(process, &pages[3], 1);
	if (vmap_view(process, (struct vmap_page *[]){pages[2], pages[0]}, 2, NULL, &view))
		return 2;
	shown = view.addr;
	memset(shown, 3, view.size);
	if (kept[0] != 3)
		return 3;

	if (!strcmp(what, "freed"))
		return touch(freed + 100);
	if (!strcmp(what, "guard"))
		return touch(shown + view.size);
	if (vmap_view_end(process, &view))
		return 2;
	if (!strcmp(what, "unmapped"))
		return touch(shown + 100);

	/* What was hidden and is in use again may be touched; so may other memory where all of it was. */
	if (vmap_page_alloc(process, 4, 1, &pages[3]) || vmap_view(process, pages, 4, NULL, &view))
		return 2;
	memset(view.addr, 4, view.size);
	if (touch(vmap_page_address(process, pages[3])) != 4 || vmap_view_end(process, &view))
		return 3;
	vmap_page_put(process, pages, 4);
	if (vmap_process_destroy(process) || vmap_process_create(&small, &process) || vmap_page_alloc(process, 4, 4, pages))
		return 2;
	for (size_t i = 0; i < 4; i++)
		memset(vmap_page_address(process, pages[i]), 5, 65536);
	vmap_page_put(process, pages, 4);
	printf("no mistake\n");
	return vmap_process_destroy(process) ? 2 : 0;
}
