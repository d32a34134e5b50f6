/* Applying a delta to a file, and looking into one. What was made before a cut stays in a file beside the result's place;
 * its blocks are compared with their checks, and work goes on behind the last one that is right. */
#include "base/output.h"
#include "delta/reader.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static tn_status open_file(const char *path, int *out_file) {
    struct stat info;
    *out_file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*out_file < 0 || fstat(*out_file, &info) != 0)
        return tn_fail(TN_E_IO, "cannot open '%s': %s", path, strerror(errno));
    return S_ISREG(info.st_mode) ? TN_OK : tn_fail(TN_E_IO, "'%s' is not a regular file", path);
}

typedef struct applying {
    tn_delta_reader reader;
    tn_output output;
    tn_sha256 whole, block;
    uint64_t resumed; /* bytes that were there already */
} applying;

static tn_status write_piece(void *context, const void *data, size_t size) {
    applying *a = context;
    tn_sha256_update(&a->whole, data, size);
    tn_sha256_update(&a->block, data, size);
    tn_output_write(&a->output, data, size);
    return a->output.status;
}

static bool block_is_right(tn_sha256 hash, const tn_delta_block *block) {
    uint8_t digest[TN_SHA256_BYTES];
    tn_sha256_final(&hash, digest);
    return memcmp(digest, block->result_check, sizeof block->result_check) == 0;
}

/* Whether what was left holds the next block's bytes; if so they count, and the block is passed over. */
static tn_status resume_block(applying *a, bool *out_there) {
    tn_delta_reader *r = &a->reader;
    tn_sha256 whole = a->whole;
    uint8_t piece[16384];
    *out_there = false;
    tn_sha256_init(&a->block);
    for (uint64_t at = 0; at < r->block.length;) {
        size_t n = (size_t)TN_MIN(r->block.length - at, sizeof piece), got;
        TN_TRY(tn_delta_read_at(a->output.file, a->output.temporary, piece, n, r->result_at + at, &got));
        if (got < n) return TN_OK;
        tn_sha256_update(&whole, piece, n);
        tn_sha256_update(&a->block, piece, n);
        at += n;
    }
    if (!block_is_right(a->block, &r->block)) return TN_OK;
    a->whole = whole;
    *out_there = true;
    return tn_delta_reader_skip(r);
}

static tn_status make_block(applying *a) {
    tn_delta_block block = a->reader.block;
    uint64_t number = a->reader.blocks + 1;
    tn_sha256_init(&a->block);
    TN_TRY(tn_delta_reader_make(&a->reader, write_piece, a));
    if (block_is_right(a->block, &block)) return TN_OK;
    return tn_fail(TN_E_FORMAT, "'%s': block %llu does not make what it says", a->reader.delta_name,
                   (unsigned long long)number);
}

static tn_status make_all(applying *a) {
    uint8_t digest[TN_SHA256_BYTES];
    bool more, resuming = true;
    tn_sha256_init(&a->whole);
    TN_TRY(tn_delta_reader_next(&a->reader, &more));
    while (more) {
        bool there = false;
        if (resuming) TN_TRY(resume_block(a, &there));
        if (there) a->resumed = a->reader.result_at;
        if (resuming && !there) tn_output_keep(&a->output, a->reader.result_at);
        resuming = resuming && there;
        if (!there) TN_TRY(make_block(a));
        TN_TRY(tn_delta_reader_next(&a->reader, &more));
    }
    if (resuming) tn_output_keep(&a->output, a->reader.result_at);
    tn_sha256_final(&a->whole, digest);
    if (memcmp(digest, a->reader.header.result_digest, sizeof digest) == 0) return a->output.status;
    return tn_fail(TN_E_CHECK, "'%s': what it makes has not the SHA-256 that it states", a->reader.delta_name);
}

static tn_status apply(applying *a, const char *result, uint64_t most) {
    const tn_delta_reader *r = &a->reader;
    if (most && r->header.result_bytes > most)
        return tn_fail(TN_E_LIMIT, "'%s' makes %llu bytes; the host allows %llu", r->delta_name,
                       (unsigned long long)r->header.result_bytes, (unsigned long long)most);
    TN_TRY(tn_delta_reader_check_base(r));
    TN_TRY(tn_output_resume(&a->output, result));
    tn_status status = make_all(a);
    if (status == TN_OK) return tn_output_commit(&a->output);
    /* What a wrong delta made is of no use to a right one. */
    a->output.stays = status == TN_E_INTERRUPTED || status == TN_E_IO || status == TN_E_MEMORY;
    tn_output_abort(&a->output);
    return status;
}

tn_status tn_delta_apply(const char *base_path, const char *delta_path, const char *result_path,
                         const tn_delta_apply_options *options, tn_delta_result *out_result) {
    tn_delta_apply_options o = {0};
    applying a = {.output.file = -1};
    int base = -1, delta = -1;
    if (options) memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    tn_status status = open_file(base_path, &base);
    if (status == TN_OK) status = open_file(delta_path, &delta);
    if (status == TN_OK) {
        status = tn_delta_reader_open(&a.reader, base, base_path, delta, delta_path);
        if (status == TN_OK) status = apply(&a, result_path, o.most_bytes);
        tn_delta_reader_close(&a.reader);
    }
    if (base >= 0) close(base);
    if (delta >= 0) close(delta);
    if (out_result) {
        tn_delta_result result = {
            .struct_size = out_result->struct_size, .bytes = a.reader.result_at, .resumed = a.resumed};
        memcpy(out_result, &result, TN_MIN(result.struct_size, sizeof result));
    }
    return status;
}

tn_status tn_delta_inspect(const char *path, tn_delta_info *out_info) {
    tn_delta_reader r = {0};
    struct stat info;
    int delta;
    bool more = true;
    if (!out_info->struct_size) return tn_fail(TN_E_INVALID, "set struct_size of the info first");
    tn_status status = open_file(path, &delta);
    if (status == TN_OK) status = tn_delta_reader_open(&r, -1, "", delta, path);
    while (status == TN_OK && more) {
        status = tn_delta_reader_next(&r, &more);
        if (status == TN_OK && more) status = tn_delta_reader_check(&r);
    }
    if (r.delta_at && (status == TN_OK || status == TN_E_INTERRUPTED) && fstat(delta, &info) == 0) {
        tn_delta_info_fill(&r.header, (uint64_t)info.st_size, r.blocks, r.result_at, out_info);
        status = TN_OK;
    }
    tn_delta_reader_close(&r);
    if (delta >= 0) close(delta);
    return status;
}
