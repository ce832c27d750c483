/* SPDX-License-Identifier: MIT */
#ifndef SHIM_PTHREAD_H
#define SHIM_PTHREAD_H

/* A thread is a CPU that runs one function. */
struct cpu;
typedef struct cpu *pthread_t;

int pthread_create(pthread_t *thread, const void *attributes, void *(*run)(void *arg), void *arg);
int pthread_join(pthread_t thread, void **result);

#endif
