/* Fuzzing deltas. The first bytes say where the input is cut in two: a base, and a delta of it, which ends in a file or a
 * sentence; it is tried again with its digests and checks put right, so that what lies behind them is reached too. Then what
 * changed from the one part to the other is made a delta of, and must come back. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "delta/reader.h"
#include "model/file.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { MOST = 256 << 10 };

static int file_of(const void *data, size_t size, char path[32]) {
    int file = memfd_create("delta", MFD_CLOEXEC);
    if (file < 0 || write(file, data, size) != (ssize_t)size) abort();
    snprintf(path, 32, "/proc/self/fd/%d", file);
    return file;
}

static tn_status count(void *context, const void *data, size_t size) {
    uint64_t *made = context;
    (void)data;
    *made += size;
    return *made > MOST ? TN_E_LIMIT : TN_OK;
}

static void read_delta(const void *base, size_t base_size, const void *delta, size_t size) {
    char base_path[32], delta_path[32];
    tn_delta_info info = {.struct_size = sizeof info};
    tn_delta_reader r;
    uint64_t made = 0;
    bool more = true;
    int base_file = file_of(base, base_size, base_path), file = file_of(delta, size, delta_path);
    tn_delta_inspect(delta_path, &info);
    tn_status status = tn_delta_reader_open(&r, base_file, "base", file, "delta");
    while (status == TN_OK && more) {
        status = tn_delta_reader_next(&r, &more);
        if (status == TN_OK && more) status = tn_delta_reader_make(&r, count, &made);
    }
    if (status == TN_OK && (made != r.header.result_bytes || made != r.result_at)) abort();
    tn_delta_reader_close(&r);
    close(base_file);
    close(file);
}

/* The header's base, and all checks. */
static void sign(const void *base, size_t base_size, uint8_t *delta, size_t size) {
    uint8_t head[TN_DELTA_HEADER];
    tn_delta_header h = {.base_bytes = base_size, .result_bytes = tn_get_little(delta + 24, 8) % MOST};
    tn_sha256_of(base, base_size, h.base_digest);
    memcpy(h.result_digest, delta + 64, sizeof h.result_digest);
    tn_delta_header_write(&h, head);
    memcpy(delta, head, sizeof head);
    for (size_t at = TN_DELTA_HEADER; size - at > TN_DELTA_BLOCK_HEADER;) {
        uint8_t *block = delta + at;
        size_t left = size - at - TN_DELTA_BLOCK_HEADER, stored = (size_t)tn_get_little(block, 4);
        if (stored > left) stored = left;
        tn_delta_block b = {.stored = (uint32_t)stored, .length = (uint32_t)tn_get_little(block + 4, 4)};
        memcpy(b.result_check, block + 8, sizeof b.result_check);
        tn_delta_block_write(&b, block + TN_DELTA_BLOCK_HEADER, block);
        at += TN_DELTA_BLOCK_HEADER + stored;
    }
}

static void there_and_back(const void *base, size_t base_size, const void *result, size_t size) {
    char base_path[32], result_path[32], delta[64], made[64];
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    int base_file = file_of(base, base_size, base_path), file = file_of(result, size, result_path);
    tn_delta_result r = {.struct_size = sizeof r};
    snprintf(delta, sizeof delta, "%s/tenon-fuzz-%ld.tnd", folder, (long)getpid());
    snprintf(made, sizeof made, "%s/tenon-fuzz-%ld", folder, (long)getpid());
    if (tn_delta_make(base_path, result_path, delta, NULL) != TN_OK ||
        tn_delta_apply(base_path, delta, made, NULL, &r) != TN_OK || r.bytes != size) {
        fprintf(stderr, "%s\n", tn_last_error());
        abort();
    }
    unlink(delta);
    unlink(made);
    close(base_file);
    close(file);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    if (size < 2) return 0;
    size_t base_size = (size_t)tn_get_little(data, 2) % (size - 1), rest = size - 2 - base_size;
    const unsigned char *base = data + 2, *second = base + base_size;
    read_delta(base, base_size, second, rest);
    if (rest >= TN_DELTA_HEADER) {
        uint8_t *copy = malloc(rest);
        if (!copy) return 0;
        memcpy(copy, second, rest);
        sign(base, base_size, copy, rest);
        read_delta(base, base_size, copy, rest);
        free(copy);
    }
    there_and_back(base, base_size, second, rest);
    return 0;
}
