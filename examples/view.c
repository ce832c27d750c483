/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <vmap/linux.h>

int main(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	struct vmap_process *process;
	struct vmap_page *pages[3];
	void *view;

	if (vmap_process_create(NULL, &process) || vmap_page_alloc(process, 0, 3, pages))
		return 1;
	struct vmap_page *scattered[] = {pages[2], pages[0]}; /* backwards, and no neighbours */
	if (vmap_pages(vmap_process_space(process), scattered, 2, NULL, &view))
		return 1;
	strcpy((char *)view + size - 7, "across the border"); /* one pointer... */
	printf("%.7s|%s\n", (char *)vmap_page_address(process, pages[2]) + size - 7, /* ...two pages */
	       (char *)vmap_page_address(process, pages[0]));
	vmap_unmap(vmap_process_space(process), view);
	vmap_page_put(process, pages, 3);
	return vmap_process_destroy(process) != 0;
}
