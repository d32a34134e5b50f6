/* Writing model files: sections one after the other, each hashed as it goes, then the header, whose place was kept. */
#include "base/deflate.h"
#include "base/output.h"
#include "base/runs.h"
#include "export/export.h"
#include "model/file.h"
#include "model/self_test.h"

/* A section on its way to the file. */
typedef struct sink {
    tn_output *output; /* NULL: it is only measured */
    tn_sha256 hash;
    uint64_t stored, length;
    unsigned packed; /* TN_SECTION_DEFLATED, TN_SECTION_RUNS or neither */
    tn_deflater deflater;
    uint8_t piece[TN_RUNS_PIECE]; /* that is being filled, of runs */
    size_t filled;
} sink;

static void put_stored(void *context, const void *data, size_t size) {
    sink *s = context;
    s->stored += size;
    if (!s->output) return;
    tn_output_write(s->output, data, size);
    tn_sha256_update(&s->hash, data, size);
}

static void put_piece(sink *s) {
    uint8_t out[TN_RUNS_PIECE + 1];
    if (s->filled) put_stored(s, out, tn_runs_write(s->piece, s->filled, out));
    s->filled = 0;
}

static void put_runs(sink *s, const uint8_t *data, size_t size) {
    for (size_t n; size; data += n, size -= n) {
        n = TN_MIN(size, sizeof s->piece - s->filled);
        memcpy(s->piece + s->filled, data, n);
        s->filled += n;
        if (s->filled == sizeof s->piece) put_piece(s);
    }
}

static void put(void *context, const void *data, size_t size) {
    sink *s = context;
    s->length += size;
    switch (s->packed) {
    case TN_SECTION_DEFLATED: tn_deflate_piece(&s->deflater, data, size); break;
    case TN_SECTION_RUNS: put_runs(s, data, size); break;
    default: put_stored(s, data, size);
    }
}

static tn_status open_sink(sink *s, tn_output *output, unsigned packed) {
    *s = (sink){.output = output, .packed = packed};
    tn_sha256_init(&s->hash);
    return packed == TN_SECTION_DEFLATED ? tn_deflate_open(&s->deflater, put_stored, s) : TN_OK;
}

static tn_status close_sink(sink *s) {
    put_piece(s);
    return s->packed == TN_SECTION_DEFLATED ? tn_deflate_close(&s->deflater) : TN_OK;
}

static tn_status packed_bytes(const tn_weights *weights, unsigned packed, uint64_t *out_bytes) {
    sink s;
    TN_TRY(open_sink(&s, NULL, packed));
    tn_weights_each(weights, put, &s);
    TN_TRY(close_sink(&s));
    *out_bytes = s.stored;
    return TN_OK;
}

/* How to pack them: in runs, which are read many times as fast, where that takes hardly more. */
static tn_status choose_packed(const tn_weights *weights, unsigned *out_packed) {
    uint64_t runs, deflated;
    *out_packed = TN_SECTION_DEFLATED;
    TN_TRY(packed_bytes(weights, TN_SECTION_RUNS, &runs));
    if (runs > weights->bytes / 2) return TN_OK;
    TN_TRY(packed_bytes(weights, TN_SECTION_DEFLATED, &deflated));
    if (runs <= deflated + deflated / 16) *out_packed = TN_SECTION_RUNS;
    return TN_OK;
}

typedef struct writer {
    tn_output output;
    int count;
    unsigned minor; /* the lowest that has what is in the file */
    tn_section sections[5];
} writer;

static tn_status open_section(writer *w, sink *s, unsigned packed) {
    tn_output_align(&w->output, TN_FILE_ALIGNMENT);
    w->sections[w->count].offset = w->output.position;
    if (packed == TN_SECTION_RUNS) w->minor = TN_FILE_MINOR_RUNS;
    return open_sink(s, &w->output, packed);
}

static tn_status close_section(writer *w, sink *s, uint32_t kind) {
    tn_section *section = &w->sections[w->count++];
    TN_TRY(close_sink(s));
    section->kind = kind;
    section->flags = s->packed;
    section->stored = s->stored;
    section->length = s->length;
    tn_sha256_final(&s->hash, section->digest);
    return w->output.status;
}

/* What a file is made of. */
typedef struct parts {
    tn_string manifest, optimizer, self_test; /* the last as it came from a file */
    tn_pb_out graph, new_test;
    tn_weights weights;
    bool compress;
} parts;

static tn_status put_bytes(writer *w, uint32_t kind, tn_string bytes, unsigned packed) {
    sink s;
    if (!bytes.size) return TN_OK;
    TN_TRY(open_section(w, &s, packed));
    put(&s, bytes.data, bytes.size);
    return close_section(w, &s, kind);
}

static tn_status put_message(writer *w, uint32_t kind, const tn_pb_out *message, unsigned packed) {
    sink s;
    TN_TRY(open_section(w, &s, packed));
    tn_pb_out_each(message, put, &s);
    return close_section(w, &s, kind);
}

static tn_status put_sections(writer *w, const parts *p) {
    sink s;
    const unsigned packed = p->compress ? TN_SECTION_DEFLATED : 0;
    TN_TRY(put_bytes(w, TN_SECTION_MANIFEST, p->manifest, 0));
    TN_TRY(put_message(w, TN_SECTION_GRAPH, &p->graph, packed));
    if (p->weights.first) {
        unsigned how = 0;
        if (p->compress) TN_TRY(choose_packed(&p->weights, &how));
        TN_TRY(open_section(w, &s, how));
        tn_weights_each(&p->weights, put, &s);
        TN_TRY(close_section(w, &s, TN_SECTION_WEIGHTS));
    }
    TN_TRY(put_bytes(w, TN_SECTION_OPTIMIZER, p->optimizer, 0));
    TN_TRY(put_bytes(w, TN_SECTION_SELF_TEST, p->self_test, packed));
    return p->new_test.size ? put_message(w, TN_SECTION_SELF_TEST, &p->new_test, packed) : TN_OK;
}

static void put_header(writer *w) {
    uint8_t head[TN_FILE_HEADER + TN_COUNT(w->sections) * TN_FILE_ROW] = {0};
    size_t size = TN_FILE_HEADER + (size_t)w->count * TN_FILE_ROW;
    memcpy(head, tn_file_magic, sizeof tn_file_magic);
    tn_put_little(head + 8, 2, TN_FILE_MAJOR);
    tn_put_little(head + 10, 2, w->minor);
    tn_put_little(head + 12, 4, (uint64_t)w->count);
    tn_put_little(head + 16, 8, w->output.position);
    for (int i = 0; i < w->count; i++) {
        uint8_t *row = head + TN_FILE_HEADER + (size_t)i * TN_FILE_ROW;
        const tn_section *s = &w->sections[i];
        tn_put_little(row, 4, s->kind);
        tn_put_little(row + 4, 4, s->flags);
        tn_put_little(row + 8, 8, s->offset);
        tn_put_little(row + 16, 8, s->stored);
        tn_put_little(row + 24, 8, s->length);
        memcpy(row + 32, s->digest, sizeof s->digest);
    }
    tn_sha256 hash;
    tn_sha256_init(&hash);
    tn_sha256_update(&hash, head, 32);
    tn_sha256_update(&hash, head + TN_FILE_HEADER, size - TN_FILE_HEADER);
    tn_sha256_final(&hash, head + 32);
    tn_output_patch(&w->output, 0, head, size);
}

static tn_status write_file(const char *path, const parts *p) {
    static const uint8_t zeros[TN_FILE_HEADER + TN_COUNT(((writer *)0)->sections) * TN_FILE_ROW];
    bool test = p->self_test.size || p->new_test.size;
    writer w = {.minor = test ? TN_FILE_MINOR_SELF_TEST : 0};
    size_t rows = 1u + (p->manifest.size > 0) + (p->weights.first != NULL) + (p->optimizer.size > 0) + test;
    TN_TRY(tn_output_open(&w.output, path));
    tn_output_write(&w.output, zeros, TN_FILE_HEADER + rows * TN_FILE_ROW);
    tn_status status = put_sections(&w, p);
    if (status == TN_OK) {
        put_header(&w);
        return tn_output_commit(&w.output);
    }
    tn_output_abort(&w.output);
    return status;
}

tn_status tn_graph_save(const tn_graph *graph, const char *path, const tn_model_file_options *options) {
    tn_model_file_options full = {.struct_size = sizeof full};
    if (options) memcpy(&full, options, TN_MIN(options->struct_size, sizeof full));
    parts p = {.compress = full.compress, .optimizer = {full.optimizer, full.optimizer_size}};
    tn_export_options outside = {TN_FILE_LOCATION, TN_FILE_OUTSIDE_FROM, true};
    tn_region *scratch = tn_region_create(NULL);
    tn_status status = scratch ? tn_export_onnx(graph, &outside, scratch, &p.graph, &p.weights) : TN_E_MEMORY;
    if (status == TN_OK && tn_pb_out_bytes(&p.graph) > TN_FILE_GRAPH_BYTES)
        status = tn_fail(TN_E_LIMIT, "a graph of more than %u bytes besides its weights", TN_FILE_GRAPH_BYTES);
    if (status == TN_OK)
        status = tn_manifest_for_graph(full.manifest, graph, path, p.weights.bytes, scratch, &p.manifest);
    if (full.self_test)
        tn_self_test_put(full.self_test, &p.new_test);
    else
        p.self_test = graph->root->self_test;
    if (status == TN_OK) status = p.new_test.status;
    if (status == TN_OK) status = write_file(path, &p);
    tn_pb_out_free(&p.graph);
    tn_pb_out_free(&p.new_test);
    tn_region_destroy(scratch);
    return status;
}
