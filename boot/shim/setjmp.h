/* SPDX-License-Identifier: MIT */
/* cmocka's users have to include this; the shim needs nothing of it. */
