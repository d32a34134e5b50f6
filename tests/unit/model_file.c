/* Model files: what is written is read back; every damaged, cut or forged one is refused with a sentence. */
#include "unit.h"
#include <stdlib.h>
#include <tenon/tenon.h>
#include "base/random.h"
#include "faults.h"
#include "model/file.h"

typedef struct bytes {
    uint8_t *data;
    size_t size;
} bytes;

static char folder[64], path[96];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/tenon-file-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/m.tenon", folder);
    return 0;
}
static int drop_folder(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder);
}

/* y = relu(x w + b), with x[batch, 8]. */
static tn_graph *small_graph(void) {
    tn_graph *g;
    tn_tensor *w, *b;
    int x, wv, bv, product, sum, y;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){tn_graph_symbol(g, "batch"), 8}, &x));
    assert_ok(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){8, 3}, NULL, &w));
    assert_ok(tn_tensor_create(TN_FLOAT32, 1, (int64_t[]){3}, NULL, &b));
    for (int i = 0; i < 24; i++) ((float *)tn_tensor_data(w))[i] = (float)(i - 12) / 4;
    for (int i = 0; i < 3; i++) ((float *)tn_tensor_data(b))[i] = (float)i;
    assert_ok(tn_graph_constant(g, "w", w, &wv));
    assert_ok(tn_graph_constant(g, "b", b, &bv));
    tn_tensor_destroy(w);
    tn_tensor_destroy(b);
    assert_ok(tn_graph_node(g, "MatMul", "product", 2, (int[]){x, wv}, 1, &product, NULL));
    assert_ok(tn_graph_node(g, "Add", "sum", 2, (int[]){product, bv}, 1, &sum, NULL));
    assert_ok(tn_graph_node(g, "Relu", "relu", 1, &sum, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    return g;
}

static bytes read_whole(const char *name) {
    FILE *file = fopen(name, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    bytes b = {NULL, (size_t)ftell(file)};
    rewind(file);
    b.data = malloc(b.size);
    assert_int_equal(fread(b.data, 1, b.size, file), b.size);
    fclose(file);
    return b;
}

static bytes saved(bool compress) {
    tn_graph *g = small_graph();
    tn_model_file_options options = {sizeof options, .compress = compress, .optimizer = "momentum",
                                     .optimizer_size = 8};
    assert_ok(tn_graph_save(g, path, &options));
    tn_graph_destroy(g);
    return read_whole(path);
}

static void run(tn_model *model, float out[3]) {
    float in[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    tn_session *session;
    tn_tensor *x;
    const tn_tensor *y;
    assert_ok(tn_session_create(model, NULL, &session));
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){1, 8}, NULL, in, sizeof in, &x));
    assert_ok(tn_session_set_input(session, 0, x));
    assert_ok(tn_session_run(session));
    assert_ok(tn_session_output(session, 0, &y));
    memcpy(out, tn_tensor_const_data(y), 3 * sizeof *out);
    tn_session_destroy(session);
    tn_tensor_destroy(x);
}

static void a_saved_model_runs_as_the_graph_does(void **state) {
    (void)state;
    for (int compress = 0; compress < 1 + TN_WITH_ZLIB; compress++) {
        bytes b = saved(compress);
        tn_model *model, *original;
        float a[3], c[3];
        assert_ok(tn_model_from_graph(small_graph(), NULL, &original));
        assert_ok(tn_model_load(path, &(tn_model_options){sizeof(tn_model_options), .verify_weights = true}, &model));
        run(original, a);
        run(model, c);
        assert_memory_equal(a, c, sizeof a);
        assert_non_null(strstr(tn_model_manifest(model), "name: m\nversion: 0.0.0\n"));
        assert_int_equal(strlen(tn_model_digest(model)), 71);
        assert_null(tn_model_digest(original));
        tn_model_destroy(model);
        tn_model_destroy(original);
        free(b.data);
    }
}

/* Nine of ten weights are zero, the others of 16 values. */
static tn_graph *sparse_graph(void) {
    tn_graph *g;
    tn_tensor *w;
    int x, wv, y;
    uint64_t seed = 1;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){1, 64}, &x));
    assert_ok(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){64, 64}, NULL, &w));
    for (int i = 0; i < 64 * 64; i++)
        ((float *)tn_tensor_data(w))[i] =
            tn_random_below(&seed, 10) ? 0 : (float)(int64_t)tn_random_below(&seed, 15) / 8 - 1;
    assert_ok(tn_graph_constant(g, "w", w, &wv));
    tn_tensor_destroy(w);
    assert_ok(tn_graph_node(g, "MatMul", "product", 2, (int[]){x, wv}, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    assert_ok(tn_graph_cluster(g, &(tn_cluster_options){.struct_size = sizeof(tn_cluster_options), .bits = 4}, NULL));
    return g;
}

static void pruned_and_shared_weights_are_stored_in_runs(void **state) {
    (void)state;
    if (!TN_WITH_ZLIB) skip();
    tn_graph *g = sparse_graph();
    uint8_t *plain = NULL;
    size_t plain_size = 0;
    for (int compress = 0; compress < 2; compress++) {
        const tn_model_file_options options = {.struct_size = sizeof options, .compress = compress};
        tn_model_file *file;
        tn_section_info info = {.struct_size = sizeof info};
        int major, minor;
        const void *data;
        size_t size;
        assert_ok(tn_graph_save(g, path, &options));
        assert_ok(tn_model_file_open(path, &file));
        tn_model_file_version(file, &major, &minor);
        assert_int_equal(minor, compress ? 2 : 0);
        assert_ok(tn_model_file_section(file, 2, &info));
        assert_int_equal(info.kind, TN_SECTION_WEIGHTS);
        assert_true(info.runs == compress && !info.deflated);
        assert_true(info.stored <= info.length / (compress ? 2 : 1));
        assert_ok(tn_model_file_read(file, TN_SECTION_WEIGHTS, &data, &size));
        if (!compress) memcpy(plain = malloc(size), data, plain_size = size);
        assert_int_equal(size, plain_size);
        assert_memory_equal(data, plain, size);
        tn_model_file_close(file);
    }
    free(plain);
    tn_graph_destroy(g);
}

static void the_same_model_gives_the_same_bytes(void **state) {
    (void)state;
    tn_graph *g;
    bytes a = saved(false);
    assert_ok(tn_graph_load(path, NULL, &g));
    assert_ok(tn_graph_save(g, path,
                            &(tn_model_file_options){.struct_size = sizeof(tn_model_file_options),
                                                     .optimizer = "momentum",
                                                     .optimizer_size = 8}));
    tn_graph_destroy(g);
    bytes b = read_whole(path);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    free(a.data);
    free(b.data);
}

static void weights_are_used_where_they_lie_in_the_file(void **state) {
    (void)state;
    bytes b = saved(false);
    free(b.data);
    tn_graph *g;
    assert_ok(tn_graph_load(path, NULL, &g));
    tn_value_info info;
    bool found = false;
    for (int v = 0; v < tn_graph_value_count(g); v++) {
        assert_ok(tn_graph_value_info(g, v, &info));
        if (!info.constant || tn_tensor_bytes(info.constant) < 64) continue;
        found = true;
        assert_int_equal((uintptr_t)tn_tensor_const_data(info.constant) % 64, 0);
    }
    assert_true(found);
    tn_graph_destroy(g);
}

static void sections_are_read_by_their_kind(void **state) {
    (void)state;
    tn_model_file *file;
    const void *data;
    size_t size;
    for (int compress = 0; compress < 1 + TN_WITH_ZLIB; compress++) {
        bytes b = saved(compress);
        tn_section_info info = {.struct_size = sizeof info};
        int major, minor, count = 0;
        assert_ok(tn_model_file_open(path, &file));
        tn_model_file_version(file, &major, &minor);
        assert_int_equal(major, 1);
        assert_int_equal(minor, 0);
        while (tn_model_file_section(file, count, &info) == TN_OK) count++;
        assert_int_equal(count, 4);
        assert_ok(tn_model_file_verify(file));
        assert_ok(tn_model_file_read(file, TN_SECTION_OPTIMIZER, &data, &size));
        assert_int_equal(size, 8);
        assert_memory_equal(data, "momentum", 8);
        assert_ok(tn_model_file_read(file, TN_SECTION_WEIGHTS, &data, &size));
        assert_int_equal(size, 96);
        assert_int_equal(tn_model_file_read(file, 9, &data, &size), TN_E_NOT_FOUND);
        tn_model_file_close(file);
        free(b.data);
    }
}

/* Loads it from memory of exactly its size, all of it verified. */
static tn_status load(const uint8_t *data, size_t size) {
    void *exact = NULL;
    tn_model *model = NULL;
    tn_model_options options = {sizeof options, .verify_weights = true, .memory_limit = 1 << 24};
    assert_int_equal(posix_memalign(&exact, 64, size ? size : 1), 0);
    memcpy(exact, data, size);
    tn_status status = tn_model_load_memory(exact, size, NULL, &options, &model);
    tn_model_destroy(model);
    free(exact);
    return status;
}

static void any_byte_that_is_wrong_is_found(void **state) {
    (void)state;
    for (int compress = 0; compress < 1 + TN_WITH_ZLIB; compress++) {
        bytes b = saved(compress);
        assert_ok(load(b.data, b.size));
        for (size_t i = 0; i < b.size; i++) {
            tn_model_file *file = NULL;
            b.data[i] ^= 0x20;
            tn_status status = tn_model_file_open_memory(b.data, b.size, &file);
            if (status == TN_OK) status = tn_model_file_verify(file);
            tn_model_file_close(file);
            if (status == TN_OK) fail_msg("byte %zu is wrong and nobody sees it", i);
            b.data[i] ^= 0x20;
        }
        free(b.data);
    }
}

static void a_file_cut_anywhere_is_refused(void **state) {
    (void)state;
    bytes b = saved(false);
    for (size_t size = 0; size < b.size; size++) assert_int_not_equal(load(b.data, size), TN_OK);
    uint8_t *longer = malloc(b.size + 1);
    memcpy(longer, b.data, b.size);
    longer[b.size] = 0;
    assert_int_equal(load(longer, b.size + 1), TN_E_FORMAT);
    free(longer);
    free(b.data);
}

/* ---- forgeries: digests that are right, and something else that is not ---- */

static uint8_t *row(bytes b, uint32_t kind) {
    for (uint64_t i = 0; i < tn_get_little(b.data + 12, 4); i++)
        if (tn_get_little(b.data + 64 + 64 * i, 4) == kind) return b.data + 64 + 64 * i;
    fail_msg("no section of kind %u", kind);
    return NULL;
}

static void sign(bytes b) {
    size_t rows = (size_t)tn_get_little(b.data + 12, 4);
    for (size_t i = 0; i < rows && 64 + 64 * (i + 1) <= b.size; i++) {
        uint8_t *r = b.data + 64 + 64 * i;
        uint64_t offset = tn_get_little(r + 8, 8), stored = tn_get_little(r + 16, 8);
        if (offset <= b.size && stored <= b.size - offset) tn_sha256_of(b.data + offset, (size_t)stored, r + 32);
    }
    tn_sha256 hash;
    tn_sha256_init(&hash);
    tn_sha256_update(&hash, b.data, 32);
    tn_sha256_update(&hash, b.data + 64, TN_MIN(64 * rows, b.size - 64));
    tn_sha256_final(&hash, b.data + 32);
}

static void refused(bytes b, tn_status status, const char *words) {
    sign(b);
    assert_int_equal(load(b.data, b.size), status);
    if (!strstr(tn_last_error(), words)) fail_msg("'%s' is not in '%s'", words, tn_last_error());
    free(b.data);
}

static void forged_tables_are_refused(void **state) {
    (void)state;
    typedef struct forgery {
        uint32_t kind; /* whose row; 0: the header */
        int at, bytes;
        uint64_t value;
        tn_status status;
        const char *words;
    } forgery;
    static const forgery rows[] = {
        {0, 8, 2, 2, TN_E_UNSUPPORTED, "version 2.0"},
        {0, 12, 4, 0, TN_E_FORMAT, "0 sections"},
        {0, 12, 4, 65, TN_E_FORMAT, "65 sections"},
        {0, 12, 4, UINT32_MAX, TN_E_FORMAT, "sections"},
        {0, 12, 4, 40, TN_E_FORMAT, "reaches beyond"},
        {0, 16, 8, 1, TN_E_FORMAT, "cut or added"},
        {0, 24, 1, 1, TN_E_FORMAT, "bytes 24 to 31"},
        {0, 12, 4, 3, TN_E_FORMAT, "must be at"},
        {TN_SECTION_GRAPH, 0, 4, 3, TN_E_FORMAT, "two sections 'weights'"},
        {TN_SECTION_OPTIMIZER, 0, 4, 9, TN_E_UNSUPPORTED, "kind 9"},
        {TN_SECTION_GRAPH, 4, 4, 4, TN_E_UNSUPPORTED, "flags"},
        {TN_SECTION_GRAPH, 8, 8, 64, TN_E_FORMAT, "must be at"},
        {TN_SECTION_WEIGHTS, 8, 8, UINT64_MAX - 63, TN_E_FORMAT, "must be at"},
        {TN_SECTION_GRAPH, 16, 8, UINT64_MAX, TN_E_FORMAT, "are not in a file"},
        {TN_SECTION_GRAPH, 16, 8, 0, TN_E_FORMAT, "are not in a file"},
        {TN_SECTION_GRAPH, 24, 8, 5, TN_E_FORMAT, "not deflated"},
        {TN_SECTION_OPTIMIZER, 16, 8, 7, TN_E_FORMAT, "not deflated"},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        bytes b = saved(false);
        uint8_t *at = (rows[i].kind ? row(b, rows[i].kind) : b.data) + rows[i].at;
        tn_put_little(at, rows[i].bytes, rows[i].value);
        refused(b, rows[i].status, rows[i].words);
    }
    bytes b = saved(false); /* a gap that is not zero */
    uint64_t end =
        tn_get_little(row(b, TN_SECTION_MANIFEST) + 8, 8) + tn_get_little(row(b, TN_SECTION_MANIFEST) + 16, 8);
    b.data[end] = 1;
    refused(b, TN_E_FORMAT, "between sections");
}

static void what_would_inflate_to_more_than_it_says_or_can_is_refused(void **state) {
    (void)state;
    if (!TN_WITH_ZLIB) skip();
    bytes b = saved(true);
    uint64_t length = tn_get_little(row(b, TN_SECTION_WEIGHTS) + 24, 8);
    tn_put_little(row(b, TN_SECTION_WEIGHTS) + 24, 8, UINT64_MAX);
    refused(b, TN_E_FORMAT, "cannot inflate to");
    b = saved(true);
    tn_put_little(row(b, TN_SECTION_WEIGHTS) + 24, 8, length - 1);
    refused(b, TN_E_FORMAT, "does not inflate to");
    b = saved(true);
    tn_put_little(row(b, TN_SECTION_WEIGHTS) + 24, 8, length + 1);
    refused(b, TN_E_FORMAT, "does not inflate to");
    b = saved(false);
    tn_put_little(row(b, TN_SECTION_GRAPH) + 4, 4, TN_SECTION_DEFLATED);
    refused(b, TN_E_FORMAT, "does not inflate to");
}

static void newer_minor_versions_are_read_as_far_as_they_are_known(void **state) {
    (void)state;
    bytes b = saved(false);
    tn_put_little(b.data + 10, 2, 7);
    tn_put_little(row(b, TN_SECTION_OPTIMIZER), 4, 99);
    sign(b);
    assert_ok(load(b.data, b.size));
    tn_put_little(row(b, 99) + 4, 4, TN_SECTION_MUST);
    refused(b, TN_E_UNSUPPORTED, "kind 99");
}

/* Changes the text of the graph section, of equal length. */
static void replace(bytes b, const char *from, const char *to) {
    uint8_t *at = memmem(b.data, b.size, from, strlen(from));
    assert_non_null(at);
    memcpy(at, to, strlen(to));
}

static void weights_that_lie_elsewhere_are_refused(void **state) {
    (void)state;
    bytes b = saved(false);
    replace(b, "weights", "/etc/ab");
    refused(b, TN_E_FORMAT, "in a model file they are at 'weights'");
    b = saved(false);
    replace(b, "offset\022\0010", "offset\022\0019");
    refused(b, TN_E_FORMAT, "reach beyond the end");
}

static void whatever_fails_in_writing_the_old_file_stays(void **state) {
    (void)state;
    tn_graph *g = small_graph();
    assert_ok(tn_graph_save(g, path, NULL));
    bytes old = read_whole(path);
    int operations = 0;
    for (int n = 1;; n++) {
        tn_model_file_options options = {sizeof options, .optimizer = "new", .optimizer_size = 3};
        faults_from(n, ENOSPC);
        tn_status status = tn_graph_save(g, path, &options);
        operations = fault_count;
        faults_from(0, 0);
        bytes now = read_whole(path);
        bool same = now.size == old.size && memcmp(now.data, old.data, old.size) == 0;
        free(now.data);
        if (status == TN_OK) break;
        assert_int_equal(status, TN_E_IO);
        tn_model *model;
        assert_ok(tn_model_load(path, NULL, &model)); /* the old or, once it has been renamed, the new one */
        tn_model_destroy(model);
        if (n < 5) assert_true(same);
    }
    assert_true(operations >= 5);
    free(old.data);
    tn_graph_destroy(g);
}

static void manifests_that_do_not_fit_the_graph_are_refused(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    static const struct {
        const char *manifest, *words;
    } rows[] = {
        {"name: m\nversion: 1.0.0\ninputs:\n- name: z\n", "line 4: the name of inputs 0 is 'z'"},
        {"name: m\nversion: 1.0.0\ninputs:\n- name: x\n  dtype: int8\n", "line 5: the data type"},
        {"name: m\nversion: 1.0.0\ninputs:\n- name: x\n  shape: [batch, 9]\n", "line 5: a dim"},
        {"name: m\nversion: 1.0.0\ninputs:\n- name: x\n  shape: [batch]\n", "line 5: shape"},
        {"name: m\nversion: 1.0.0\noutputs:\n- name: y\n- name: q\n", "line 3: 2 outputs, and the graph has 1"},
        {"name: m\nversion: 1\n", "line 2, column 1: 'version' must be a semantic version"},
    };
    tn_graph *g = small_graph();
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        tn_model_file_options options = {sizeof options, .manifest = rows[i].manifest};
        assert_int_not_equal(tn_graph_save(g, path, &options), TN_OK);
        if (!strstr(tn_last_error(), rows[i].words)) fail_msg("'%s' is not in '%s'", rows[i].words, tn_last_error());
        assert_int_not_equal(access(path, F_OK), 0);
    }
    tn_graph_destroy(g);
}

static void a_host_that_lacks_what_the_model_needs_does_not_load_it(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    tn_graph *g = small_graph();
    tn_model *model;
    const char *good = "name: m\nversion: 1.0.0\nhost: {library: 0.0.1, cpu: scalar}\n";
    assert_ok(tn_graph_save(g, path, &(tn_model_file_options){sizeof(tn_model_file_options), .manifest = good}));
    assert_ok(tn_model_load(path, NULL, &model));
    tn_model_destroy(model);
    const char *late = "name: m\nversion: 1.0.0\nhost: {library: 99.0.0}\n";
    assert_ok(tn_graph_save(g, path, &(tn_model_file_options){sizeof(tn_model_file_options), .manifest = late}));
    assert_int_equal(tn_model_load(path, NULL, &model), TN_E_UNSUPPORTED);
    assert_non_null(strstr(tn_last_error(), "needs Tenon 99.0.0"));
    const char *fast = "name: m\nversion: 1.0.0\nhost: {cpu: abacus}\n";
    assert_ok(tn_graph_save(g, path, &(tn_model_file_options){sizeof(tn_model_file_options), .manifest = fast}));
    assert_int_equal(tn_model_load(path, NULL, &model), TN_E_UNSUPPORTED);
    assert_non_null(strstr(tn_last_error(), "'abacus'"));
    tn_graph_destroy(g);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, drop_folder)
int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_saved_model_runs_as_the_graph_does),
        IN_FOLDER(pruned_and_shared_weights_are_stored_in_runs),
        IN_FOLDER(the_same_model_gives_the_same_bytes),
        IN_FOLDER(weights_are_used_where_they_lie_in_the_file),
        IN_FOLDER(sections_are_read_by_their_kind),
        IN_FOLDER(any_byte_that_is_wrong_is_found),
        IN_FOLDER(a_file_cut_anywhere_is_refused),
        IN_FOLDER(forged_tables_are_refused),
        IN_FOLDER(what_would_inflate_to_more_than_it_says_or_can_is_refused),
        IN_FOLDER(newer_minor_versions_are_read_as_far_as_they_are_known),
        IN_FOLDER(weights_that_lie_elsewhere_are_refused),
        IN_FOLDER(whatever_fails_in_writing_the_old_file_stays),
        IN_FOLDER(manifests_that_do_not_fit_the_graph_are_refused),
        IN_FOLDER(a_host_that_lacks_what_the_model_needs_does_not_load_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
