/* Making files of deltas, into the journal of a store. */
#include "store/delta.h"
#include "delta/reader.h"
#include <unistd.h>

tn_status tn_sink_take(void *sink, const void *data, size_t size) {
    tn_sink *k = sink;
    uint64_t pass = k->at < k->staged->size ? TN_MIN(k->staged->size - k->at, (uint64_t)size) : 0;
    k->at += size;
    if (size - pass > k->size - k->staged->size)
        return tn_fail(TN_E_FORMAT, "there is more of %s than the %llu bytes that the manifest says", k->digest,
                       (unsigned long long)k->size);
    return tn_stage_add(k->store, k->staged, (const char *)data + pass, (size_t)(size - pass));
}

/* The blocks; those whose bytes are there are passed over. */
static tn_status run(tn_sink *k, const tn_store_delta *d, int base, int delta) {
    tn_delta_reader r;
    bool more = true;
    tn_status status = tn_delta_reader_open(&r, base, d->base, delta, d->blob);
    if (status == TN_OK && r.header.result_bytes != k->size)
        status = tn_fail(TN_E_FORMAT, "the delta %s makes %llu bytes; expected %llu", d->blob,
                         (unsigned long long)r.header.result_bytes, (unsigned long long)k->size);
    while (status == TN_OK && more) {
        status = tn_delta_reader_next(&r, &more);
        if (status != TN_OK || !more) break;
        k->at = r.result_at;
        bool there = r.result_at + r.block.length <= k->staged->size;
        status = there ? tn_delta_reader_skip(&r) : tn_delta_reader_make(&r, tn_sink_take, k);
    }
    tn_delta_reader_close(&r);
    return status;
}

tn_status tn_sink_delta(tn_sink *k, const tn_store_delta *d, int delta) {
    int base;
    uint64_t base_size;
    TN_TRY(tn_blob_open(k->store, d->base, &base, &base_size));
    tn_status status = run(k, d, base, delta);
    close(base);
    return status;
}
