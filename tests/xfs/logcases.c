/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The cases: name, builder, exit status, marks that are on the disk afterwards, what is said, flags, and the builder's two numbers.
 */
#include "logcase_impl.h"

#define TORN "torn writes of the crash"

const struct logcase logcases[] = {
	/* Sound logs. */
	{"plain", lc_flipped, 0, 0x7ffff, TORN, 0, 540, 0},
	{"two sessions", lc_unmounted, 0, 2, NULL, 0, 0, 1},
	{"unmounted", lc_unmounted, 0, 0, "the log is clean, there is nothing to replay", 0, 0, 0},
	{"empty", lc_empty_log, 0, 0, "the log is clean, there is nothing to replay", 0, 0, 0},
	{"wrapped", lc_wrapped, 0, 7, NULL, 0, 10, 32768},
	{"wrapped header", lc_wrapped, 0, 7, NULL, LC_LOGV2, 11, 262144},
	{"wrapped inside a header", lc_wrapped, 0, 7, NULL, LC_LOGV2, 5, 262144},
	{"record ends with the log", lc_wrapped, 0, 7, NULL, 0, 2, 32768},
	{"mixed sizes", lc_sizes, 0, 0x1f, NULL, LC_LOGV2, 0, 0},
	{"largest record", lc_largest, 0, 3, NULL, LC_LOGV2, 240 << 10, 262144},
	{"largest small record", lc_largest, 0, 3, NULL, 0, 30 << 10, 32768},
	{"i386 checksum", lc_crc_i386, 0, 3, NULL, 0, 0, 0},
	{"tail between records", lc_tail_between, 0, 4, NULL, 0, 0, 0},
	{"interleaved", lc_interleaved, 0, 7, NULL, 0, 0, 0},
	{"continued region", lc_continued, 0, 1, NULL, 0, 0, 0},
	{"continued header", lc_header_pieces, 0, 1 | LC_FILL, NULL, 0, 0, 0},
	{"began before the tail", lc_began_before, 0, 2, NULL, 0, 0, 0},
	{"no commit", lc_no_commit, 0, 9, NULL, 0, 0, 0},
	{"no commit, others", lc_no_commit, 0, 0xd, NULL, 0, 0, 1},
	{"ends in unmount", lc_ends_in_unmount, 0, 5, "ends in an unmount: dropped", 0, 0, 0},
	{"fewer operations", lc_fewer_ops, 0, 3, NULL, 0, 0, 4},
	{"cancelled", lc_cancelled, 0, 2, NULL, 0, 0, 0},
	{"cancelled and reused", lc_cancelled, 0, 3, NULL, 0, 0, 1},
	{"cancelled where reused", lc_cancelled, 0, 2, NULL, 0, 0, 2},
	{"other type", lc_other_type, 0, 3, NULL, 0, 0, XFS_BLFT_AGF_BUF},
	{"inode chunk", lc_icreate, 0, 1 | LC_CHUNK_MADE, NULL, 0, 0, 0},
	{"inode", lc_inode, 0, 1 | LC_INODE_CHANGED, NULL, 0, 0, 0},
	{"dquot", lc_dquot, 0, 1 | LC_DQUOT_THERE, NULL, 0, 0, 0},
	{"quotaoff", lc_quotaoff, 0, 1, NULL, 0, 0, 0},
	{"superblock", lc_sb_logged, 0, 1, NULL, 0, 0, 0},
	{"intents done", lc_intents_done, 0, 3, NULL, 0, 0, 0},
	{"done without intent", lc_done_alone, 0, 1, NULL, 0, 0, 0},
	{"12-byte extents", lc_done_32bit, 0, 1, NULL, 0, 0, 0},

	/* Torn at the end: what is whole before it is replayed. */
	{"torn data", lc_flipped, 0, 0x7ffff, TORN, 0, 700, 0},
	{"torn header", lc_flipped, 0, 0x7ffff, TORN, 0, 15, 0},
	/* Its blocks look like the rest of the record before: as kernels do, that one is dropped too. */
	{"torn magic", lc_flipped, 0, 0x3ffff, TORN, 0, 0, 0},
	{"torn fourth", lc_flipped, 0, 0xffff, TORN, 0, 700, 3},
	{"torn eighth", lc_flipped, 0, 0xfff, TORN, 0, 700, 7},
	{"cut after the header", lc_cut_short, 0, 3, NULL, 0, 1, 1},
	{"cut in the middle", lc_cut_short, 0, 3, NULL, 0, 3, 1},
	{"cut before the header", lc_cut_short, 0, 3, NULL, 0, 0, 1},
	{"hole", lc_hole, 0, 1, NULL, 0, 0, 0},
	{"torn at block 0", lc_wrapped_torn, 0, 1, TORN, 0, 2, 0},
	{"torn behind block 0", lc_wrapped_torn, 0, 1, TORN, 0, 3, 0},
	{"near version", lc_near_header, 0, 1, TORN, 0, LC_H(version), 4},
	{"near length", lc_near_header, 0, 1, TORN, 0, LC_H(len), 0x7fffff00},
	{"near size", lc_near_header, 0, 1, TORN, LC_LOGV2, LC_H(size), 0x80000000},

	/* Damage: refused, and nothing is changed. */
	{"far version", lc_far_header, 1, 0, "unknown version of a record header", LC_CORRUPT, LC_H(version), 4},
	{"far length", lc_far_header, 1, 0, "a record longer than", LC_CORRUPT, LC_H(len), 0x7fffff00},
	{"far length 0", lc_far_header, 1, 0, "a record without data", LC_CORRUPT, LC_H(len), 0},
	{"far size", lc_far_header, 1, 0, "an impossible log buffer size", LC_CORRUPT | LC_LOGV2, LC_H(size), 0x80000},
	{"far size small", lc_far_header, 1, 0, "a record longer than its log buffer", LC_CORRUPT | LC_LOGV2, LC_H(size), 256},
	{"far magic", lc_flipped, 1, 0, "no record header", LC_CORRUPT, 0, 12},
	{"far checksum", lc_flipped, 1, 0, "bad checksum: damage, no torn write", LC_CORRUPT | LC_V5, 700, 9},
	{"far LSN", lc_far_header, 1, 0, "has an LSN that is not its place", LC_CORRUPT, LC_H(lsn) + 4, 7},
	{"far format", lc_far_header, 1, 0, "written in another byte order", LC_CORRUPT, LC_H(fmt), 0},
	{"far UUID", lc_far_uuid, 1, 0, "has another filesystem's UUID", LC_CORRUPT, 0, 0},
	{"other UUID", lc_all_uuid, 1, 0, "another filesystem", LC_CORRUPT, 0, 0},
	{"mixed byte order", lc_mixed_order, 1, 0, "written in another byte order", LC_CORRUPT, 0, 0},
	{"IRIX", lc_irix, 1, 0, "written by IRIX", LC_CORRUPT, 0, 3},
	{"unknown format", lc_irix, 1, 0, "an unknown system", LC_CORRUPT, 0, 77},
	{"far zeroed header", lc_zeroed, 1, 0, "no record header", LC_CORRUPT, 0, 1},
	{"far zeroed data", lc_zeroed, 1, 0, "bad checksum: damage", LC_CORRUPT | LC_V5, 1, 1},
	{"far cycle", lc_cycled, 1, 0, "bad checksum: damage", LC_CORRUPT | LC_V5, 1, 0},
	{"no checksums", lc_no_crc, 1, 0, "has no checksum", LC_CORRUPT | LC_V5, 0, 0},
	{"no records", lc_no_records, 1, 0, "no log record where the log should end", LC_CORRUPT, 0, 0},
	{"tail beyond the log", lc_bad_tail, 1, 0, "tail", LC_CORRUPT, 0x7fffffff, 0},
	{"tail ahead", lc_bad_tail, 1, 0, "tail", LC_CORRUPT, 4000, 0},
	{"tail of a later cycle", lc_bad_tail, 1, 0, "tail", LC_CORRUPT, LC_START, 1},

	/* Operations. */
	{"operation length", lc_bad_op, 1, 0, "reaches behind the record's end", LC_CORRUPT, 4, 0x10000},
	{"operation length -12", lc_bad_op, 1, 0, "reaches behind the record's end", LC_CORRUPT, 4, 0xfffffff4},
	{"operation client", lc_bad_op, 1, 0, "unknown client", LC_CORRUPT, 8, 0x42},
	{"operation flags", lc_bad_op, 1, 0, "an impossible combination of flags", LC_CORRUPT, 9, 0x80},
	{"start and commit", lc_bad_op, 1, 0, "a second START", LC_CORRUPT, 9, 3},
	{"more operations", lc_more_ops, 1, 0, "the record's end", LC_CORRUPT, 0, 1000},
	{"operations without end", lc_more_ops, 1, 0, "the record's end", LC_CORRUPT, 0, 0x7fffffff},
	{"second start", lc_second_start, 1, 0, "a second START", LC_CORRUPT, 0, 0},
	{"transaction number again", lc_second_start, 0, 3 | LC_FILL, NULL, 0, 0, 1},
	{"start with data", lc_start_with_data, 1, 0, "a START that carries data", LC_CORRUPT, 0, 0},
	{"long header", lc_header_pieces, 1, 0, "a transaction header of more than 16 bytes", LC_CORRUPT, 4, 0},
	{"header magic", lc_header_pieces, 1, 0, "does not begin with a transaction header", LC_CORRUPT, 0, 0x1234},
	{"continues nothing", lc_continues_nothing, 1, 0, "continues a region, but none was begun", LC_CORRUPT, 0, 0},

	/* Items. */
	{"no region", lc_regions, 1, 0, "impossible number of regions", LC_CORRUPT, 0, 0},
	{"258 regions", lc_regions, 1, 0, "impossible number of regions", LC_CORRUPT, 0, 258},
	{"regions missing", lc_regions, 1, 0, "regions of its last item missing", LC_CORRUPT, 0, 3},
	{"regions too many", lc_regions, 1, 0, "the map and the 3 regions do not match", LC_CORRUPT, 1, 3},
	{"regions left over", lc_regions, 1, 0, "operation 4", LC_CORRUPT, 1, 2},
	{"short item", lc_raw_item, 1, 0, "too short for its type", LC_CORRUPT, 2, XFS_LI_BUF},
	{"unknown type", lc_raw_item, 1, 0, "type 0x4711 is none", LC_CORRUPT, 16, 0x4711},
	{"short buffer format", lc_raw_item, 1, 0, "cut short at 16 bytes", LC_CORRUPT, 16, XFS_LI_BUF},
	{"short inode format", lc_raw_item, 1, 0, "its format has 40 bytes", LC_CORRUPT, 40, XFS_LI_INODE},
	{"inode without core", lc_raw_item, 1, 0, "the logged core has 0 bytes", LC_CORRUPT, 56, XFS_LI_INODE},
	{"short inode chunk", lc_raw_item, 1, 0, "instead of one of 28", LC_CORRUPT, 24, XFS_LI_ICREATE},
	{"short dquot", lc_raw_item, 1, 0, "are no dquot", LC_CORRUPT, 24, XFS_LI_DQUOT},
	{"short quotaoff", lc_quotaoff, 1, 0, "cut short", LC_CORRUPT, 0, 6},
	{"buffer beyond the device", lc_bad_buffer, 1, 0, "lie outside the device", LC_CORRUPT, 1 << 30, 2},
	{"buffer at -1", lc_bad_buffer, 1, 0, "lie outside the device", LC_CORRUPT, UINT32_MAX, 8},
	{"buffer without length", lc_bad_buffer, 1, 0, "lie outside the device", LC_CORRUPT, 0, 0},
	{"buffer too long", lc_bad_buffer, 1, 0, "larger than any", LC_CORRUPT, 0, 4000},
	{"map too long", lc_bad_map, 1, 0, "does not fit", LC_CORRUPT, 17, 1},
	{"map of 4 billion words", lc_bad_map, 1, 0, "does not fit", LC_CORRUPT, 0xffffffff, 1},
	{"map of nothing", lc_bad_map, 1, 0, "do not match", LC_CORRUPT, 1, 0},
	{"map of two chunks", lc_bad_map, 1, 0, "do not match", LC_CORRUPT, 1, 5},
	{"map behind the buffer", lc_bad_map, 1, 0, "names chunk 31", LC_CORRUPT, 1, 0x80000000},
	{"inode chunk beyond", lc_icreate, 1, 0, "outside an allocation group", LC_CORRUPT, 8, 0x7fffffff},
	{"inode chunk in no group", lc_icreate, 1, 0, "lie outside the device", LC_CORRUPT, 4, 0xffff},
	{"inode chunk count", lc_icreate, 1, 0, "are no chunk", LC_CORRUPT, 12, 1},
	{"inode chunk of other inodes", lc_icreate, 1, 0, "in a filesystem with", LC_CORRUPT, 16, 8192},
	{"inode offset", lc_inode, 1, 0, "it cannot lie at byte", LC_CORRUPT, 52, 0x7ffffe00},
	{"inode offset odd", lc_inode, 1, 0, "it cannot lie at byte", LC_CORRUPT, 52, 3},
	{"inode buffer length", lc_inode, 1, 0, "it cannot lie at byte", LC_CORRUPT, 48, 0x100000},
	{"inode fields", lc_inode, 1, 0, "2 regions for fields", LC_CORRUPT, 4, XFS_ILOG_CORE | XFS_ILOG_DDATA},
	{"inode magic", lc_inode, 1, 0, "inode", LC_CORRUPT, 100, 0x4e4e},
	{"dquot magic", lc_dquot, 1, 0, "no dquot magic", LC_CORRUPT, 1, 0},
	{"dquot type", lc_dquot, 1, 0, "an unknown type of dquot", LC_CORRUPT, 3, 0x40},
	{"EFI count", lc_intent_count, 1, 0, "are none such", LC_CORRUPT, 2, 0},
	{"EFI count overflow", lc_intent_count, 1, 0, "are none such", LC_CORRUPT, 0x10000001, 0},
	{"RUI count overflow", lc_intent_count, 1, 0, "are none such", LC_CORRUPT, 0x8000001, 1},
	{"CUI count 0", lc_intent_count, 1, 0, "are none such", LC_CORRUPT, 0, 2},
	{"BUI count", lc_intent_count, 1, 0, "are none such", LC_CORRUPT, 7, 3},
	{"EFI beyond the filesystem", lc_intent_pending, 2, 1, "EFI intent at LSN", 0, 0, 0},
	{"RUI of nothing", lc_intent_pending, 2, 1, "RUI intent at LSN", 0, 0, 1},
	{"CUI beyond the filesystem", lc_intent_pending, 2, 1, "CUI intent at LSN", 0, 0, 2},
	{"BUI of nothing", lc_intent_pending, 2, 1, "BUI intent at LSN", 0, 0, 3},
	{"XMI of nothing", lc_intent_pending, 2, 1, "XMI intent at LSN", 0, 0, 4},

	/* The superblock. */
	{"LSN ahead", lc_sb_on_disk, 1, 0, "is ahead of the log", LC_CORRUPT | LC_V5, LC_DSB(lsn), 9},
	{"unknown log feature", lc_sb_on_disk, 1, 0, "log", LC_CORRUPT | LC_V5, LC_DSB(features_log_incompat), 0x40000000},
	{"fewer groups", lc_sb_logged, 1, 0, "superblock", LC_CORRUPT, LC_DSB(agcount), 0},
	{"other blocks", lc_sb_logged, 1, 0, "superblock", LC_CORRUPT, LC_DSB(blocksize), 65536},
	{"grown beyond the device", lc_sb_logged, 1, 0, "superblock", LC_CORRUPT, LC_DSB(dblocks) + 4, 0x7fffffff},
};
const size_t logcases_count = sizeof(logcases) / sizeof(logcases[0]);

const struct logcase *logcase_find(const char *name)
{
	for (size_t i = 0; i < logcases_count; i++)
		if (!strcmp(logcases[i].name, name))
			return &logcases[i];
	return NULL;
}

bool logcase_fits(const struct logcase *c, const struct xr_sb *sb)
{
	return !(c->flags & LC_V5 && !sb->v5) && !(c->flags & LC_LOGV2 && !sb->logv2);
}

void logcase_build(const struct logcase *c, struct lb *lb)
{
	lb_begin(lb, LC_CYCLE, LC_START);
	c->build(lb, c);
}
