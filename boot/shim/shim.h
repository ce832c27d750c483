/* SPDX-License-Identifier: MIT */
#ifndef SHIM_H
#define SHIM_H

#include <cmocka.h>

/* Run the tests of a table that ends with an empty one, as TAP. Gives the number of those that failed. */
int shim_run(const struct CMUnitTest *tests);

/* How many there were. */
void shim_plan(void);

#endif
