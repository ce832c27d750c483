/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_BUDGET_H
#define VMAP_LINUX_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many of the process's mappings views may take. */
struct vmap_budget {
	size_t kernel_max; /* vm.max_map_count */
	size_t at_start; /* mappings the process had, and those kept aside */
	size_t max; /* what views may take together */
	size_t used; /* atomic */
};

/* Look at the process and its limit. max and headroom as in struct vmap_process_config; spare: mappings to be kept aside besides. */
void vmap_budget_init(struct vmap_budget *budget, size_t max, size_t headroom, size_t spare);

/* Take n mappings, all or none. */
bool vmap_budget_take(struct vmap_budget *budget, size_t n);
void vmap_budget_give(struct vmap_budget *budget, size_t n);

/* Mappings the process has now; 0: it could not be asked. */
size_t vmap_budget_count(void);

/* Whether the kernel's limit of mappings is as good as reached. Slow: for after an error. */
bool vmap_budget_is_reached(void);

#endif
