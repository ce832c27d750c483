/* SPDX-License-Identifier: GPL-2.0-only */
#include "chain.h"

#include "bytes.h"
#include "format.h"

void xr_chain_step(struct xr_chain *chain, bool changed)
{
	chain->calls++;
	chain->changed = changed;
}

void xr_chain_follow(struct xr_chain *chain, uint64_t n)
{
	chain->calls += n;
	chain->changed = chain->changed && !n;
}

void xr_chain_mapped(struct xr_chain *chain, const struct xr_sb *sb)
{
	xr_chain_follow(chain, sb->has_rmapbt);
}

/* Work of one kind in a row is one piece. A block's reverse mapping stands between it and the next. */
void xr_chain_freed(struct xr_chain *chain, const struct xr_sb *sb, uint64_t n)
{
	xr_chain_follow(chain, sb->has_rmapbt ? 2 * n : n > 0);
}

void xr_chain_count(const struct xr_chain *chain, struct xr_tx *tx, struct xr_tx_inode *inode)
{
	uint8_t *count = inode->raw + offsetof(struct xfs_dinode, di_changecount);
	uint64_t n = (chain->calls > 1 ? chain->calls : 0) + chain->changed;

	if (!xr_tx_sb(tx)->v5 || !n)
		return;
	xr_put_be64(count, xr_be64(count) + n);
	xr_tx_inode_log(tx, inode);
}
