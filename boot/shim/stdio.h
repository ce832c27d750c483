/* SPDX-License-Identifier: MIT */
#ifndef SHIM_STDIO_H
#define SHIM_STDIO_H

void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define stderr 0
#define fprintf(stream, ...) print("# " __VA_ARGS__)

#endif
