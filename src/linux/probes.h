/* SPDX-License-Identifier: MIT */
#ifndef VMAP_LINUX_PROBES_H
#define VMAP_LINUX_PROBES_H

/*
 * Static probes (USDT), where <sys/sdt.h> was there: a nop each until somebody attaches. Their names and arguments are documented in
 * vmapstat(8).
 */
#ifdef VMAP_HAVE_SDT
#include <sys/sdt.h>
#ifdef __clang__ /* of what its macros expand to */
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#endif
#define VMAP_PROBE1(name, a) DTRACE_PROBE1(vmap, name, a)
#define VMAP_PROBE2(name, a, b) DTRACE_PROBE2(vmap, name, a, b)
#define VMAP_PROBE3(name, a, b, c) DTRACE_PROBE3(vmap, name, a, b, c)
#else
#define VMAP_PROBE1(name, a) ((void)(a))
#define VMAP_PROBE2(name, a, b) ((void)(a), (void)(b))
#define VMAP_PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif

#endif
