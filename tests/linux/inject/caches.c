/* SPDX-License-Identifier: MIT */
/* Views that are kept. */
#include "world.h"

#include <vmap/cache.h>

static struct vmap_cache *cache;
static struct vmap_cached cached;

static int do_create(void)
{
	const struct vmap_cache_config config = {.views_max = 3};

	return vmap_cache_create(process, &config, &cache);
}

static int do_destroy(void)
{
	return vmap_cache_destroy(cache);
}

static void end_cache(void)
{
	assert_int_equal(do_destroy(), 0);
}

static void make_cache(void)
{
	assert_int_equal(do_create(), 0);
}

static int do_get(void)
{
	return vmap_cache_get(cache, some, 5, &cached);
}

static bool cached_shows(void)
{
	return shows(cached.addr, some, 5);
}

static int do_put(void)
{
	return vmap_cache_put(cache, &cached);
}

static void put_cached(void)
{
	assert_int_equal(do_put(), 0);
	end_cache();
}

static void make_used(void)
{
	make_cache();
	assert_int_equal(do_get(), 0);
}

static void make_kept(void)
{
	make_used();
	assert_int_equal(do_put(), 0);
}

static int do_again(void)
{
	return vmap_cache_again(cache, cached.handle, &cached);
}

/* Full of views that nobody uses. */
static void fill_cache(void)
{
	make_cache();
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(vmap_cache_get(cache, some + i, 2, &cached), 0);
		assert_int_equal(do_put(), 0);
	}
}

static int do_trim(void)
{
	vmap_cache_trim(cache, 0);
	return 0;
}

static bool cache_is_empty(void)
{
	struct vmap_cache_stats stats;

	vmap_cache_stats(cache, &stats);
	return !stats.views && !stats.mappings;
}

static int do_stats(void)
{
	struct vmap_cache_stats stats;

	vmap_cache_stats(cache, &stats);
	return stats.views == 1 && stats.idle == 1 ? 0 : -VMAP_ENOENT;
}

const struct operation cache_operations[] = {
	{.name = "vmap_cache_create", .call = do_create, .done = cache_is_empty, .after = end_cache},
	{.name = "vmap_cache_get", .before = make_cache, .call = do_get, .done = cached_shows, .after = put_cached},
	{.name = "vmap_cache_get, full",
	 .before = fill_cache,
	 .call = do_get,
	 .done = cached_shows,
	 .after = put_cached,
	 .evicts = true},
	{.name = "vmap_cache_get, kept",
	 .before = make_kept,
	 .call = do_get,
	 .done = cached_shows,
	 .after = put_cached,
	 .cannot_fail = true,
	 .calls_nothing = true},
	{.name = "vmap_cache_again",
	 .before = make_kept,
	 .call = do_again,
	 .done = cached_shows,
	 .after = put_cached,
	 .cannot_fail = true,
	 .calls_nothing = true},
	{.name = "vmap_cache_put",
	 .before = make_used,
	 .call = do_put,
	 .done = cached_shows,
	 .after = end_cache,
	 .cannot_fail = true,
	 .calls_nothing = true},
	{.name = "vmap_cache_trim",
	 .before = fill_cache,
	 .call = do_trim,
	 .done = cache_is_empty,
	 .after = end_cache,
	 .cannot_fail = true},
	{.name = "vmap_cache_stats",
	 .before = make_kept,
	 .call = do_stats,
	 .after = end_cache,
	 .cannot_fail = true,
	 .calls_nothing = true},
	{.name = "vmap_cache_destroy", .before = fill_cache, .call = do_destroy, .cannot_fail = true},
	{.name = NULL},
};
