// SPDX-License-Identifier: MIT
// A C++ program against the installed library: from pages to a view and back, an error by name.
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <vector>
#include <vmap/linux.h>
#include <vmap/pgtable.h>
#include <vmap/vmap.h>

static_assert(VMAP_ENOMEM == ENOMEM && VMAP_EOVERFLOW == EOVERFLOW && VMAP_EALREADY == EALREADY, "Linux's numbers");

int main()
{
	vmap_process *process = nullptr;
	if (vmap_process_create(nullptr, &process))
		return 1;
	vmap_space *space = vmap_process_space(process);

	std::vector<vmap_page *> pages(8);
	if (vmap_page_alloc(process, 1, pages.size(), pages.data()))
		return 2;
	const std::vector<vmap_page *> backwards(pages.rbegin(), pages.rend());
	void *view = nullptr;
	if (vmap_pages(space, backwards.data(), backwards.size(), nullptr, &view))
		return 3;

	vmap_area_info info;
	if (vmap_area_at(space, view, &info) || info.state != VMAP_STATE_MAPPED || info.pages != pages.size())
		return 4;
	std::memset(view, 0x5a, info.size);
	if (*static_cast<unsigned char *>(vmap_page_address(process, pages.front())) != 0x5a)
		return 5;
	if (vmap_unmap(space, view) || vmap_unmap(space, view) != -VMAP_ENOENT)
		return 6;
	vmap_page_put(process, pages.data(), pages.size());
	std::puts("backwards and forwards");
	return vmap_process_destroy(process) ? 7 : 0;
}
