/* SPDX-License-Identifier: GPL-2.0-only */
/* The command line: one table for getopt_long(), one help text, and the combinations that make no sense. */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	OUTPUT = 256,
	TREE,
	TREE_BEFORE,
	LS,
	CAT,
	EXTRACT,
	PASS2_ONLY,
	OFFSET,
	UNDO,
	APPLY_UNDO,
	STOP_AT,
	UNTIL_BAD,
	SKIP_ITEM,
	APPLY_ITEM,
	LOG,
	JSON,
	STATS
};

static const struct option longs[] = {
	{"output", required_argument, NULL, OUTPUT},
	{"tree", no_argument, NULL, TREE},
	{"tree-before", no_argument, NULL, TREE_BEFORE},
	{"ls", required_argument, NULL, LS},
	{"cat", required_argument, NULL, CAT},
	{"extract", required_argument, NULL, EXTRACT},
	{"pass2-only", no_argument, NULL, PASS2_ONLY},
	{"offset", required_argument, NULL, OFFSET},
	{"undo", required_argument, NULL, UNDO},
	{"apply-undo", required_argument, NULL, APPLY_UNDO},
	{"log", optional_argument, NULL, LOG},
	{"stop-at", required_argument, NULL, STOP_AT},
	{"until-bad", no_argument, NULL, UNTIL_BAD},
	{"skip-item", required_argument, NULL, SKIP_ITEM},
	{"apply-item", required_argument, NULL, APPLY_ITEM},
	{"json", no_argument, NULL, JSON},
	{"stats", no_argument, NULL, STATS},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static const char help[] =
	"Usage: xfs_replay [options] IMAGE\n"
	"Recover the dirty log of the XFS filesystem on IMAGE, a file or an unmounted block device, without mounting it.\n"
	"\n"
	"  -n             change nothing; replay in memory and report\n"
	"  --output OUT   recover into a new image OUT and leave IMAGE as it is (a log device is copied to OUT.log)\n"
	"  --tree         list the filesystem as it will be after recovery; changes nothing\n"
	"  --tree-before  list the filesystem as it is on the disk, without its log; changes nothing\n"
	"  --ls PATH      list one directory, or one file, as it will be after recovery; changes nothing\n"
	"  --cat PATH     write the content of one file, as it will be, to standard output; changes nothing\n"
	"  --extract PATH DIR\n"
	"                 copy what is at PATH, as it will be, into the new or empty directory DIR; does not change IMAGE\n"
	"  --log[=html]   list the log's records, transactions and items, also older ones that can still be read; or as a page\n"
	"  --pass2-only   replay, but leave operations that were interrupted to a kernel, and the log dirty for it\n"
	"  --until-bad    salvage: replay a damaged log up to the damage, list what is lost, and end the log there\n"
	"  --stop-at LSN  the same up to the record of this LSN (CYCLE:BLOCK), wherever the damage is\n"
	"  --skip-item CYCLE:BLOCK:TID:NUMBER=FILE\n"
	"                 salvage: leave out one item of the log, as messages name it, and keep it in the new FILE\n"
	"  --apply-item FILE\n"
	"                 replay the item that FILE keeps, on a filesystem whose log is clean\n"
	"  --undo FILE    keep what is overwritten in the new FILE\n"
	"  --apply-undo FILE\n"
	"                 put back what FILE kept: IMAGE, and LOGDEV, are as they were\n"
	"  --offset BYTES the filesystem begins there in IMAGE; suffixes k, m, g, t, or s for sectors of 512 bytes\n"
	"  -l LOGDEV      the log is on this device\n"
	"  -r RTDEV       the realtime section is on this device\n"
	"  -e             exit with 4 instead of 0 where something was replayed\n"
	"  -v             say more\n"
	"  --json         report as one JSON object on standard output\n"
	"  --stats        report views made, pages mapped, bytes copied and peak memory\n"
	"  -h, --help     this text\n"
	"  -V, --version  the version\n"
	"\n"
	"Exit status: 0 the log is clean now, 1 error or corruption, 2 a dirty log remains, 4 replayed and clean (with -e),\n"
	"8 salvaged: the log is clean and a part of it is lost, or damage kept something from being freed: run xfs_repair.\n";

static int wrong(const char *what)
{
	fprintf(stderr, "xfs_replay: %s; try xfs_replay -h\n", what);
	return -1;
}

static int check(struct options *o)
{
	if (o->output && (o->dry_run || o->look))
		return wrong("--output writes a new image, -n and what only looks write nothing: choose one");
	if (o->undo && (o->dry_run || o->look || o->output))
		return wrong(
			"--undo keeps what is overwritten in IMAGE: -n, --output and what only looks overwrite nothing of it");
	if (o->apply_undo && (o->undo || o->dry_run || o->look || o->output || o->rtdev))
		return wrong("--apply-undo goes with -l and --offset only");
	if ((o->stop_at || o->until_bad) && (o->pass2_only || o->apply_undo))
		return wrong("--stop-at and --until-bad end the log themselves: give no --pass2-only or --apply-undo");
	if (o->nskips && (o->pass2_only || o->apply_undo || o->apply_item))
		return wrong("--skip-item ends the log itself: give no --pass2-only, --apply-undo or --apply-item");
	if (o->apply_item && (o->stop_at || o->until_bad || o->apply_undo || o->pass2_only || o->look))
		return wrong("--apply-item needs a clean log and writes: give nothing that salvages, leaves work, or only looks, "
			     "but -n");
	if (o->logdev && !strcmp(o->logdev, o->image))
		return wrong("-l names the image itself: an internal log needs no -l, an external one is on another device");
	if (o->json && o->log_html)
		return wrong("--log=html writes a page to standard output: give no --json");
	if (o->json && o->look == LOOK_CAT)
		return wrong("--cat writes the file's bytes to standard output: give no --json");
	if (o->look)
		o->dry_run = true;
	return 0;
}

static int set_look(struct options *o, enum look look, const char *path)
{
	if (o->look)
		return wrong("--tree, --tree-before, --ls, --cat, --extract, --log: ask for one of them, once");
	o->look = look;
	o->path = path;
	return 0;
}

bool options_bytes(const char *text, uint64_t *bytes)
{
	static const struct {
		char letter;
		unsigned shift;
	} suffixes[] = {{'\0', 0}, {'s', 9}, {'k', 10}, {'m', 20}, {'g', 30}, {'t', 40}};
	unsigned i = 0;
	char *end;
	unsigned long long n;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	while (i < 5 && suffixes[i].letter != *end)
		i++;
	if (errno || suffixes[i].letter != *end || (*end && end[1]) || n > (unsigned long long)INT64_MAX >> suffixes[i].shift)
		return false;
	*bytes = n << suffixes[i].shift;
	return *bytes % 512 == 0;
}

/* A number of 32 bits, written without sign or space, with end behind it; *text is then what follows. */
static bool parse_u32(const char **text, int base, char end, uint32_t *n)
{
	unsigned long long value;
	char *behind;

	if (base == 16 ? !isxdigit((unsigned char)**text) : !isdigit((unsigned char)**text))
		return false;
	value = strtoull(*text, &behind, base);
	if (*behind != end || value > UINT32_MAX)
		return false;
	*n = (uint32_t)value;
	*text = behind + (end != '\0');
	return true;
}

/* CYCLE:BLOCK, with end behind it */
static bool parse_lsn(const char **text, char end, uint64_t *lsn)
{
	uint32_t cycle, block;

	if (!parse_u32(text, 10, ':', &cycle) || !parse_u32(text, 10, end, &block) || !cycle)
		return false;
	*lsn = (uint64_t)cycle << 32 | block;
	return true;
}

/* CYCLE:BLOCK:TID:NUMBER=FILE */
static int add_skip(struct options *o, const char *text)
{
	struct skip_option *skip = &o->skips[o->nskips];

	if (o->nskips == MAX_SKIPS)
		return wrong("--skip-item: no more than 64 items");
	if (!parse_lsn(&text, ':', &skip->lsn) || !parse_u32(&text, 16, ':', &skip->tid) ||
	    !parse_u32(&text, 10, '=', &skip->number) || !*text)
		return wrong("--skip-item needs an item as messages have it, and a file: CYCLE:BLOCK:TID:NUMBER=FILE");
	skip->file = text;
	o->nskips++;
	return 0;
}

void options_unknown(int c, char **argv, char *text, size_t room)
{
	const char *what = c == ':' ? "needs an argument" : "no such option, or one that takes no argument";

	if (optopt > ' ' && optopt < 0x7f) /* one letter, perhaps among others */
		snprintf(text, room, "-%c: %s", optopt, what);
	else
		snprintf(text, room, "%s: %s", argv[optind - 1], what);
}

bool options_stdout_taken(const struct options *o)
{
	return o->look && o->look != LOOK_EXTRACT;
}

int options_parse(struct options *o, int argc, char **argv)
{
	const char *text;
	char unknown[160];
	int c, ret = 0;

	*o = (struct options){.program = "xfs_replay"};
	opterr = 0;
	while (!ret && (c = getopt_long(argc, argv, ":nl:r:evhV", longs, NULL)) != -1) {
		switch (c) {
		case 'n':
			o->dry_run = true;
			break;
		case 'l':
			o->logdev = optarg;
			break;
		case 'r':
			o->rtdev = optarg;
			break;
		case 'e':
			o->tell_replayed = true;
			break;
		case 'v':
			o->verbose = true;
			break;
		case OUTPUT:
			o->output = optarg;
			break;
		case TREE:
			ret = set_look(o, LOOK_TREE, NULL);
			break;
		case TREE_BEFORE:
			ret = set_look(o, LOOK_TREE_BEFORE, NULL);
			break;
		case LS:
			ret = set_look(o, LOOK_LS, optarg);
			break;
		case CAT:
			ret = set_look(o, LOOK_CAT, optarg);
			break;
		case EXTRACT:
			ret = set_look(o, LOOK_EXTRACT, optarg);
			if (optind == argc)
				return wrong("--extract needs two arguments, PATH and DIR");
			o->to = argv[optind++];
			break;
		case PASS2_ONLY:
			o->pass2_only = true;
			break;
		case OFFSET:
			if (!options_bytes(optarg, &o->offset))
				return wrong(
					"--offset needs a multiple of 512: bytes, or a number with k, m, g, t, or s for sectors");
			break;
		case UNDO:
			o->undo = optarg;
			break;
		case APPLY_UNDO:
			o->apply_undo = optarg;
			break;
		case LOG:
			ret = set_look(o, LOOK_LOG, NULL);
			o->log_html = optarg && !strcmp(optarg, "html");
			if (optarg && !o->log_html)
				return wrong("--log shows text, --log=html a page");
			break;
		case STOP_AT:
			text = optarg;
			if (!parse_lsn(&text, '\0', &o->stop_at))
				return wrong("--stop-at needs an LSN as messages have it, CYCLE:BLOCK");
			break;
		case SKIP_ITEM:
			ret = add_skip(o, optarg);
			break;
		case APPLY_ITEM:
			o->apply_item = optarg;
			break;
		case UNTIL_BAD:
			o->until_bad = true;
			break;
		case JSON:
			o->json = true;
			break;
		case STATS:
			o->stats = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 1;
		case 'V':
			puts("xfs_replay version " XR_VERSION);
			return 1;
		default:
			options_unknown(c, argv, unknown, sizeof(unknown));
			return wrong(unknown);
		}
	}
	if (ret)
		return ret;
	if (optind != argc - 1)
		return wrong(optind < argc ? "more than one image" : "no image named");
	o->image = argv[optind];
	return check(o);
}
