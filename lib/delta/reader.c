/* Reading a delta: see reader.h. All of it is hostile: a block is compared with its check before anything of it is parsed,
 * and each step is compared with what is left of the base, the block and the result before it is taken. */
#include "delta/reader.h"
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 64 << 10 };

tn_status tn_delta_read_at(int file, const char *name, void *data, size_t size, uint64_t at, size_t *out_size) {
    uint8_t *to = data;
    *out_size = 0;
    while (*out_size < size) {
        ssize_t n = pread(file, to + *out_size, size - *out_size, (off_t)(at + *out_size));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return tn_fail(TN_E_IO, "cannot read '%s': %s", name, strerror(errno));
        if (n == 0) break;
        *out_size += (size_t)n;
    }
    return TN_OK;
}

static tn_status read_base(const tn_delta_reader *r, void *data, size_t size, uint64_t at) {
    size_t got;
    TN_TRY(tn_delta_read_at(r->base, r->base_name, data, size, at, &got));
    return got == size ? TN_OK : tn_fail(TN_E_IO, "'%s' became shorter while it was read", r->base_name);
}

tn_status tn_delta_reader_open(tn_delta_reader *r, int base, const char *base_name, int delta, const char *delta_name) {
    uint8_t head[TN_DELTA_HEADER];
    size_t got;
    struct stat info;
    *r = (tn_delta_reader){.base = base, .delta = delta, .base_name = base_name, .delta_name = delta_name};
    TN_TRY(tn_delta_read_at(delta, delta_name, head, sizeof head, 0, &got));
    tn_status status = tn_delta_header_read(head, got, &r->header);
    if (status != TN_OK) return tn_fail_context(status, "'%s'", delta_name);
    r->delta_at = sizeof head;
    if (base < 0) return TN_OK;
    if (fstat(base, &info) != 0) return tn_fail(TN_E_IO, "cannot read '%s': %s", base_name, strerror(errno));
    r->base_size = (uint64_t)info.st_size;
    if (r->base_size != r->header.base_bytes)
        return tn_fail(TN_E_CHECK, "'%s' is no delta of '%s': its base has %llu bytes, and this file %llu", delta_name,
                       base_name, (unsigned long long)r->header.base_bytes, (unsigned long long)r->base_size);
    r->models = tn_models_create();
    r->pieces = tn_alloc(NULL, 2 * (size_t)PIECE);
    return r->models && r->pieces ? TN_OK : TN_E_MEMORY;
}

void tn_delta_reader_close(tn_delta_reader *r) {
    tn_models_destroy(r->models);
    tn_free(NULL, r->pieces, 2 * (size_t)PIECE);
    tn_free(NULL, r->stored, r->room);
    r->models = NULL;
    r->stored = r->pieces = NULL;
}

tn_status tn_delta_reader_check_base(const tn_delta_reader *r) {
    tn_sha256 hash;
    uint8_t digest[TN_SHA256_BYTES];
    tn_sha256_init(&hash);
    for (uint64_t at = 0; at < r->base_size;) {
        size_t n = (size_t)TN_MIN(r->base_size - at, (uint64_t)PIECE);
        TN_TRY(read_base(r, r->pieces, n, at));
        tn_sha256_update(&hash, r->pieces, n);
        at += n;
    }
    tn_sha256_final(&hash, digest);
    if (memcmp(digest, r->header.base_digest, sizeof digest) == 0) return TN_OK;
    return tn_fail(TN_E_CHECK, "'%s' is no delta of '%s': the SHA-256 of its base is another one", r->delta_name,
                   r->base_name);
}

static tn_status cut(const tn_delta_reader *r) {
    return tn_fail(
        TN_E_INTERRUPTED,
        "'%s' is not all there: it ends within its block %llu, with which %llu of %llu bytes begin; fetch the "
        "rest and go on",
        r->delta_name, (unsigned long long)r->blocks + 1, (unsigned long long)r->result_at,
        (unsigned long long)r->header.result_bytes);
}

tn_status tn_delta_reader_next(tn_delta_reader *r, bool *out_more) {
    uint8_t head[TN_DELTA_BLOCK_HEADER];
    size_t got;
    uint64_t left = r->header.result_bytes - r->result_at;
    *out_more = left > 0;
    TN_TRY(tn_delta_read_at(r->delta, r->delta_name, head, *out_more ? sizeof head : 1, r->delta_at, &got));
    if (!*out_more)
        return got == 0 ? TN_OK
                        : tn_fail(TN_E_FORMAT, "'%s': there is more behind what makes the result", r->delta_name);
    if (got < sizeof head) return cut(r);
    tn_status status = tn_delta_block_read(head, left, &r->block);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "'%s'", r->delta_name);
}

static void passed(tn_delta_reader *r) {
    r->delta_at += TN_DELTA_BLOCK_HEADER + r->block.stored;
    r->result_at += r->block.length;
    r->blocks++;
}

tn_status tn_delta_reader_skip(tn_delta_reader *r) {
    uint8_t last;
    size_t got = 1;
    if (r->block.stored)
        TN_TRY(tn_delta_read_at(r->delta, r->delta_name, &last, 1,
                                r->delta_at + TN_DELTA_BLOCK_HEADER + r->block.stored - 1, &got));
    if (got == 0) return cut(r);
    passed(r);
    return TN_OK;
}

static tn_status read_block(tn_delta_reader *r) {
    size_t got, size = r->block.stored;
    if (size > r->room) {
        tn_free(NULL, r->stored, r->room);
        r->stored = tn_alloc(NULL, size);
        r->room = r->stored ? size : 0;
        if (!r->stored) return TN_E_MEMORY;
    }
    TN_TRY(tn_delta_read_at(r->delta, r->delta_name, r->stored, size, r->delta_at + TN_DELTA_BLOCK_HEADER, &got));
    if (got < size) return cut(r);
    if (tn_delta_block_is_whole(&r->block, r->stored)) return TN_OK;
    return tn_fail(TN_E_FORMAT, "'%s' is damaged: block %llu is not what its check says", r->delta_name,
                   (unsigned long long)r->blocks + 1);
}

tn_status tn_delta_reader_check(tn_delta_reader *r) {
    TN_TRY(read_block(r));
    passed(r);
    return TN_OK;
}

/* What a step makes, piece by piece. */
static tn_status take(tn_delta_reader *r, tn_coder *c, tn_step step, tn_delta_write *write, void *context) {
    uint64_t width = (uint64_t)tn_element_width(step.element);
    uint8_t *base = r->pieces, *made = r->pieces + PIECE;
    while (step.length) {
        size_t n = (size_t)TN_MIN(step.length, (uint64_t)PIECE);
        if (step.kind != TN_STEP_NEW) TN_TRY(read_base(r, base, n, step.base));
        if (step.kind == TN_STEP_CHANGE) tn_models_change(r->models, c, step.element, base, made, n / width);
        if (step.kind == TN_STEP_NEW) tn_models_new(r->models, c, step.element, made, n / width);
        TN_TRY(write(context, step.kind == TN_STEP_COPY ? base : made, n));
        step.base += n;
        step.length -= n;
    }
    return TN_OK;
}

static tn_status malformed(const tn_delta_reader *r, const char *what) {
    return tn_fail(TN_E_FORMAT, "'%s': block %llu %s", r->delta_name, (unsigned long long)r->blocks + 1, what);
}

tn_status tn_delta_reader_make(tn_delta_reader *r, tn_delta_write *write, void *context) {
    tn_coder c;
    uint64_t left = r->block.length, coded = 0;
    TN_TRY(read_block(r));
    tn_coder_decode_from(&c, r->stored, r->block.stored);
    tn_models_reset(r->models, r->result_at);
    while (left) {
        tn_step step = {0};
        if (!tn_models_step(r->models, &c, &step)) return malformed(r, "has a step that does not exist");
        if (step.length > left) return malformed(r, "makes more than it says");
        if (step.kind != TN_STEP_NEW && (step.base > r->base_size || step.length > r->base_size - step.base))
            return malformed(r, "takes bytes from behind the base's end");
        if (step.kind != TN_STEP_COPY) coded += step.length;
        if (coded > TN_DELTA_CODED) return malformed(r, "codes more than a block may");
        TN_TRY(take(r, &c, step, write, context));
        left -= step.length;
    }
    if (!tn_coder_is_done(&c)) return malformed(r, "has bytes that it does not need");
    passed(r);
    return TN_OK;
}

void tn_delta_info_fill(const tn_delta_header *h, uint64_t bytes, uint64_t blocks, uint64_t ready, tn_delta_info *out) {
    tn_delta_info info = {.struct_size = out->struct_size,
                          .base_bytes = h->base_bytes,
                          .result_bytes = h->result_bytes,
                          .delta_bytes = bytes,
                          .ready_bytes = ready,
                          .blocks = blocks};
    memcpy(info.base_digest, "sha256:", 7);
    memcpy(info.result_digest, "sha256:", 7);
    tn_sha256_text(h->base_digest, info.base_digest + 7);
    tn_sha256_text(h->result_digest, info.result_digest + 7);
    memcpy(out, &info, TN_MIN(out->struct_size, sizeof info));
}
