// SPDX-License-Identifier: MIT
/* Descriptors: each is in a list until it is freed, and full of a pattern before and after. */
#include <stdlib.h>
#include <string.h>
#include "mmu.h"

#define DESCRIPTOR_MAGIC 0x646573637269u

static void link_descriptor(struct softmmu *mmu, struct descriptor *descriptor)
{
	descriptor->link = &mmu->descriptor_list;
	descriptor->next = mmu->descriptor_list;
	if (descriptor->next)
		descriptor->next->link = &descriptor->next;
	mmu->descriptor_list = descriptor;
	mmu->descriptors++;
}

void mmu_end_descriptor(struct softmmu *mmu, struct descriptor *descriptor)
{
	*descriptor->link = descriptor->next;
	if (descriptor->next)
		descriptor->next->link = descriptor->link;
	mmu->descriptors--;
	descriptor->magic = 0;
	memset(descriptor->bytes, FREE_BYTE, descriptor->size);
	free(descriptor);
}

static void *meta_alloc_nowait(void *ctx, size_t size)
{
	struct softmmu *mmu = mmu_enter(ctx, "meta_alloc");
	struct descriptor *descriptor = NULL;

	if (!size)
		mmu_violation(mmu, "meta_alloc of 0 bytes");
	if (!mmu_injects(mmu, SOFTMMU_META_ALLOC))
		descriptor = malloc(sizeof(*descriptor) + size);
	if (descriptor) {
		link_descriptor(mmu, descriptor);
		descriptor->size = size;
		descriptor->magic = DESCRIPTOR_MAGIC;
		memset(descriptor->bytes, NEW_BYTE, size);
	}
	mmu_leave(mmu);
	return descriptor ? descriptor->bytes : NULL;
}

static void *meta_alloc(void *ctx, size_t size)
{
	mmu_leave(mmu_enter_sleeping(ctx, "meta_alloc"));
	return meta_alloc_nowait(ctx, size);
}

static void meta_free(void *ctx, void *mem, size_t size)
{
	struct descriptor *descriptor = (struct descriptor *)(void *)((char *)mem - offsetof(struct descriptor, bytes));
	struct softmmu *mmu = mmu_enter(ctx, "meta_free");

	if (descriptor->magic != DESCRIPTOR_MAGIC) {
		mmu_violation(mmu, "meta_free of %p, which is no descriptor", mem);
	} else {
		if (descriptor->size != size)
			mmu_violation(mmu, "meta_free of %zu bytes that were allocated as %zu", size, descriptor->size);
		mmu_end_descriptor(mmu, descriptor);
	}
	mmu_leave(mmu);
}

void mmu_descriptor_hooks(struct vmap_host *host)
{
	host->meta_alloc = meta_alloc;
	host->meta_alloc_nowait = meta_alloc_nowait;
	host->meta_free = meta_free;
}
