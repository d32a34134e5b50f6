/* Deltas: what is made is what was compared, of any elements and any bytes; cuts are gone on from; what is damaged or forged
 * is refused with a sentence, and leaves what is there. */
#include "unit.h"
#include "tree.h"
#include "base/random.h"
#include "delta/reader.h"
#include "model/file.h"
#include <tenon/tenon.h>

static char root[64];

static char *at(const char *name) {
    return tree_at(root, name);
}

static int setup(void **state) {
    (void)state;
    return tree_make(root, "delta") ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    return tree_remove(root);
}

static void assert_file(const char *name, const void *data, size_t size) {
    size_t found;
    char *there = tree_read(at(name), &found);
    assert_int_equal(found, size);
    if (size) assert_memory_equal(there, data, size);
    free(there);
}

/* There and back; gives the delta's size. */
static uint64_t check(const void *base, size_t base_size, const void *result, size_t size) {
    tn_delta_info info = {.struct_size = sizeof info}, seen = info;
    tn_delta_result made = {.struct_size = sizeof made};
    tree_write(at("base"), base, base_size);
    tree_write(at("result"), result, size);
    assert_ok(tn_delta_make(at("base"), at("result"), at("delta"), &info));
    assert_ok(tn_delta_inspect(at("delta"), &seen));
    assert_memory_equal(&info, &seen, sizeof info);
    assert_int_equal(info.result_bytes, size);
    assert_int_equal(info.ready_bytes, size);
    assert_ok(tn_delta_apply(at("base"), at("delta"), at("made"), NULL, &made));
    assert_int_equal(made.bytes, size);
    assert_int_equal(made.resumed, 0);
    assert_file("made", result, size);
    assert_int_equal(access(at("made.part"), F_OK), -1);
    return info.delta_bytes;
}

static void fill(uint8_t *data, size_t size, uint64_t seed) {
    for (size_t i = 0; i < size; i++) data[i] = (uint8_t)tn_random_next(&seed);
}

static void any_bytes_come_back(void **state) {
    (void)state;
    enum { N = 200000 };
    uint8_t *a = malloc(N), *b = malloc(N + 1000);
    fill(a, N, 1);
    assert_true(check("", 0, "", 0) == TN_DELTA_HEADER);
    assert_true(check("", 0, "x", 1) < 150);
    assert_true(check(a, N, "", 0) == TN_DELTA_HEADER);
    assert_true(check(a, N, a, N) < 130);
    check("", 0, a, N);
    check(a, 7, a, 9);
    memcpy(b, a, 100000); /* something comes in, something falls out, something moves */
    memcpy(b + 100000, "inserted in the middle", 22);
    memcpy(b + 100022, a + 100500, 50000);
    memcpy(b + 150022, a + 20000, 50000);
    assert_true(check(a, N, b, 200022) < 200);
    for (size_t i = 0; i < N; i += 1000) b[i] ^= 0x55;
    assert_true(check(a, N, b, 200022) < 1500);
    free(a);
    free(b);
}

/* Elements at their ends and near each other, coded and read. */
static void elements_of_any_type_come_back(void **state) {
    (void)state;
    enum { COUNT = 4000 };
    static uint8_t base[8 * COUNT], result[8 * COUNT], made[8 * COUNT], room[1 << 20];
    tn_models *m = tn_models_create();
    assert_non_null(m);
    for (int e = 0; e < TN_ELEMENTS; e++) {
        size_t width = (size_t)tn_element_width((tn_element)e);
        static const uint64_t ends[] = {0,
                                        UINT64_MAX,
                                        1,
                                        0x8080808080808080,
                                        0x7f7f7f7f7f7f7f7f,
                                        0x7fff7fff7fffffff,
                                        0x8000800080000000,
                                        0x7ff07f807f807c00,
                                        0x8000000000000000,
                                        0x7fffffffffffffff};
        uint64_t seed = 5;
        for (size_t i = 0; i < COUNT; i++) {
            uint64_t v = i < 100 ? ends[i / 10] : tn_random_next(&seed) >> tn_random_next(&seed) % 64;
            uint64_t to = i < 100 ? ends[i % 10] : v + tn_random_next(&seed) % 9 - 4;
            tn_put_little(base + i * width, (int)width, v);
            tn_put_little(result + i * width, (int)width, to);
        }
        for (int kind = TN_STEP_CHANGE; kind <= TN_STEP_NEW; kind++) {
            tn_coder c;
            tn_step step = {(tn_step_kind)kind, (tn_element)e, 3, COUNT * width}, read = {0};
            tn_coder_encode_to(&c, room, sizeof room);
            tn_models_reset(m, 0);
            assert_true(tn_models_step(m, &c, &step));
            if (kind == TN_STEP_CHANGE)
                tn_models_change(m, &c, step.element, base, result, COUNT);
            else
                tn_models_new(m, &c, step.element, result, COUNT);
            tn_coder_finish(&c);
            assert_false(c.full);
            tn_coder_decode_from(&c, room, c.used);
            tn_models_reset(m, 0);
            assert_true(tn_models_step(m, &c, &read));
            assert_int_equal(read.kind, step.kind);
            assert_int_equal(read.element, step.element);
            assert_int_equal(read.length, step.length);
            if (kind == TN_STEP_CHANGE) assert_int_equal(read.base, step.base);
            memset(made, 0, sizeof made);
            if (kind == TN_STEP_CHANGE)
                tn_models_change(m, &c, step.element, base, made, COUNT);
            else
                tn_models_new(m, &c, step.element, made, COUNT);
            assert_memory_equal(made, result, COUNT * width);
            assert_true(tn_coder_is_done(&c));
        }
    }
    tn_models_destroy(m);
}

/* A graph with one weight of so many floats, as an ONNX file. */
static void write_model(const char *name, const float *weight, int64_t count) {
    tn_graph *graph;
    int x, w, y;
    tn_tensor *tensor;
    assert_ok(tn_tensor_create(TN_FLOAT32, 1, &count, NULL, &tensor));
    memcpy(tn_tensor_data(tensor), weight, (size_t)count * sizeof *weight);
    assert_ok(tn_graph_create(NULL, &graph));
    assert_ok(tn_graph_input(graph, "x", TN_FLOAT32, 1, &count, &x));
    assert_ok(tn_graph_constant(graph, "w", tensor, &w));
    assert_ok(tn_graph_node(graph, "Add", NULL, 2, (int[]){x, w}, 1, &y, NULL));
    assert_ok(tn_graph_output(graph, y, "y"));
    if (strstr(name, ".tenon"))
        assert_ok(tn_graph_save(graph, at(name), NULL));
    else
        assert_ok(tn_graph_save_onnx(graph, at(name), NULL));
    tn_tensor_destroy(tensor);
    tn_graph_destroy(graph);
}

/* Weights near zero and a small move: about ten bits of 32 are the move's. */
static void tensors_are_compared_by_their_elements(void **state) {
    (void)state;
    enum { N = 20000 };
    float *w = malloc(N * sizeof *w);
    uint64_t seed = 3;
    size_t old_size, new_size;
    for (int form = 0; form < 2; form++) {
        const char *before = form ? "before.tenon" : "before.onnx", *after = form ? "after.tenon" : "after.onnx";
        for (int i = 0; i < N; i++) w[i] = (float)tn_random_uniform(&seed) - 0.5f;
        write_model(before, w, N);
        for (int i = 0; i < N; i++) w[i] += 1e-4f * ((float)tn_random_uniform(&seed) - 0.5f);
        write_model(after, w, N);
        char *old_bytes = tree_read(at(before), &old_size), *new_bytes = tree_read(at(after), &new_size);
        uint64_t size = check(old_bytes, old_size, new_bytes, new_size);
        if (size > new_size / 2) fail_msg("%s: %llu of %zu bytes", after, (unsigned long long)size, new_size);
        free(old_bytes);
        free(new_bytes);
    }
    free(w);
}

static void write_start(const char *name, const char *data, size_t size) {
    tree_write(at(name), data, size);
}

/* A small delta, cut everywhere; a great one, of several blocks, at their ends and amid them. */
static void a_cut_is_gone_on_from(void **state) {
    (void)state;
    enum { SMALL = 300, GREAT = 5 << 18 };
    uint8_t *a = malloc(GREAT), *b = malloc(GREAT);
    for (int great = 0; great < 2; great++) {
        size_t n = great ? GREAT : SMALL, size, step;
        fill(a, n, 7);
        for (size_t i = 0; i < n; i++) b[i] = (uint8_t)(a[i] + (i % 3 == 0));
        check(a, n, b, n);
        char *delta = tree_read(at("delta"), &size);
        step = great ? size * 9 / 20 : 1;
        unlink(at("made"));
        for (size_t cut = 0; cut < size; cut += step) {
            tn_delta_result r = {.struct_size = sizeof r}, again = r;
            tn_delta_info info = {.struct_size = sizeof info};
            write_start("cut", delta, cut);
            assert_int_equal(tn_delta_apply(at("base"), at("cut"), at("made"), NULL, &r), TN_E_INTERRUPTED);
            assert_int_equal(access(at("made"), F_OK), -1);
            if (cut >= TN_DELTA_HEADER) {
                assert_ok(tn_delta_inspect(at("cut"), &info));
                assert_int_equal(info.ready_bytes, r.bytes);
                assert_true(info.ready_bytes < n);
            } else {
                assert_int_equal(tn_delta_inspect(at("cut"), &info), TN_E_INTERRUPTED);
            }
            if (great && cut > size * 5 / 6) assert_true(r.bytes > 0);
            if (cut % 2) { /* the part may be damaged, too long, or cut */
                size_t part_size = 0;
                char *part = r.bytes ? tree_read(at("made.part"), &part_size) : NULL;
                if (part) part[part_size / 2] ^= 1;
                if (part) tree_write(at("made.part"), part, cut % 4 == 1 ? part_size : part_size / 3);
                free(part);
            }
            assert_ok(tn_delta_apply(at("base"), at("delta"), at("made"), NULL, &again));
            assert_int_equal(again.bytes, n);
            if (cut % 2 == 0) assert_int_equal(again.resumed, r.bytes);
            assert_file("made", b, n);
            assert_int_equal(access(at("made.part"), F_OK), -1);
            unlink(at("made"));
        }
        /* What is there is whole, but was not renamed; or has more behind it. */
        for (size_t more = 0; more < 2; more++) {
            tn_delta_result r = {.struct_size = sizeof r};
            uint8_t *part = malloc(n + more);
            memcpy(part, b, n);
            if (more) part[n] = 'x';
            tree_write(at("made.part"), part, n + more);
            free(part);
            assert_ok(tn_delta_apply(at("base"), at("delta"), at("made"), NULL, &r));
            assert_int_equal(r.resumed, n);
            assert_file("made", b, n);
            unlink(at("made"));
        }
        free(delta);
    }
    free(a);
    free(b);
}

/* Refused with this status and such a sentence, and what is in the result's place stays. */
static void refuse(const char *base, const char *delta, uint64_t most, tn_status status, const char *sentence) {
    tn_delta_apply_options o = {sizeof o, .most_bytes = most};
    tree_write(at("kept"), "as it was", 9);
    tn_status found = tn_delta_apply(at(base), at(delta), at("kept"), &o, NULL);
    if (found != status || !strstr(tn_last_error(), sentence))
        fail_msg("expected '%s: %s', found '%s: %s'", tn_status_text(status), sentence, tn_status_text(found),
                 tn_last_error());
    assert_file("kept", "as it was", 9);
    assert_int_equal(access(at("kept.part"), F_OK), -1);
}

static void what_is_wrong_is_refused(void **state) {
    (void)state;
    uint8_t a[5000], b[5000];
    size_t size;
    fill(a, sizeof a, 1);
    memcpy(b, a, sizeof b);
    b[77] ^= 1;
    check(a, sizeof a, b, sizeof b);
    char *delta = tree_read(at("delta"), &size), *longer = malloc(size + 1);
    memcpy(longer, delta, size);
    longer[size] = 0;
    tree_write(at("longer"), longer, size + 1);
    free(longer);
    tree_write(at("other"), b, sizeof b);
    tree_write(at("short"), a, sizeof a - 1);
    refuse("other", "delta", 0, TN_E_CHECK, "is no delta of");
    refuse("short", "delta", 0, TN_E_CHECK, "this file 4999");
    refuse("base", "delta", 4999, TN_E_LIMIT, "the host allows 4999");
    refuse("base", "base", 0, TN_E_FORMAT, "no delta");
    refuse("base", "longer", 0, TN_E_FORMAT, "more behind");
    refuse("nowhere", "delta", 0, TN_E_IO, "cannot open");
    refuse("base", "nowhere", 0, TN_E_IO, "cannot open");
    for (size_t i = 0; i < size; i++) {
        delta[i] ^= 0x10;
        tree_write(at("damaged"), delta, size);
        tree_write(at("kept"), "as it was", 9);
        tn_status status = tn_delta_apply(at("base"), at("damaged"), at("kept"), NULL, NULL);
        /* A block that is said to be longer looks like one that is cut. */
        if (status != TN_E_FORMAT && status != TN_E_INTERRUPTED)
            fail_msg("byte %zu: %s: %s", i, tn_status_text(status), tn_last_error());
        assert_file("kept", "as it was", 9);
        unlink(at("kept.part"));
        delta[i] ^= 0x10;
    }
    free(delta);
}

/* Steps that nobody would write, in blocks whose checks are right. */
typedef struct forged {
    const char *sentence;
    tn_step steps[3];
    uint32_t length;
    size_t extra; /* bytes behind the steps */
} forged;

static void forge(const forged *f, uint64_t base_bytes, const uint8_t base_digest[32]) {
    static uint8_t room[TN_DELTA_HEADER + TN_DELTA_BLOCK_HEADER + 65536], zeros[8192];
    tn_delta_header h = {.base_bytes = base_bytes, .result_bytes = 100};
    tn_models *m = tn_models_create();
    tn_coder c;
    assert_non_null(m);
    memcpy(h.base_digest, base_digest, sizeof h.base_digest);
    uint8_t *steps = room + TN_DELTA_HEADER + TN_DELTA_BLOCK_HEADER;
    tn_coder_encode_to(&c, steps, 65000);
    tn_models_reset(m, 0);
    for (int i = 0; i < 3 && f->steps[i].length; i++) {
        tn_step step = f->steps[i];
        tn_models_step(m, &c, &step);
        if (step.kind == TN_STEP_NEW && step.element < TN_ELEMENTS && step.length <= sizeof zeros)
            tn_models_new(m, &c, step.element, zeros, (size_t)step.length);
    }
    tn_coder_finish(&c);
    memset(steps + c.used, 1, f->extra);
    tn_delta_block block = {.stored = (uint32_t)(c.used + f->extra), .length = f->length};
    tn_delta_header_write(&h, room);
    tn_delta_block_write(&block, steps, room + TN_DELTA_HEADER);
    tree_write(at("forged"), room, TN_DELTA_HEADER + TN_DELTA_BLOCK_HEADER + block.stored);
    tn_models_destroy(m);
}

static void forged_steps_are_refused(void **state) {
    (void)state;
    static const forged all[] = {
        {"takes bytes from behind", {{TN_STEP_COPY, 0, 950, 100}}, 100, 0},
        {"takes bytes from behind", {{TN_STEP_COPY, 0, UINT64_MAX - 9, 100}}, 100, 0},
        {"takes bytes from behind", {{TN_STEP_CHANGE, TN_ELEMENT_FLOAT32, 1 << 20, 100}}, 100, 0},
        {"makes more than it says", {{TN_STEP_COPY, 0, 0, 101}}, 100, 0},
        {"makes more than it says", {{TN_STEP_COPY, 0, 0, UINT64_MAX}}, 100, 0},
        {"makes more than it says",
         {{TN_STEP_NEW, TN_ELEMENT_INT64, 0, 96}, {TN_STEP_NEW, TN_ELEMENT_INT64, 0, 8}},
         100,
         0},
        {"does not exist", {{TN_STEP_KINDS, 0, 0, 1}}, 100, 0},
        {"does not exist", {{TN_STEP_NEW, TN_ELEMENTS, 0, 1}}, 100, 0},
        {"has bytes that it does not need", {{TN_STEP_COPY, 0, 0, 100}}, 100, 3},
        {"does not make what it says", {{TN_STEP_COPY, 0, 0, 100}}, 100, 0},
        {"are still to come", {{TN_STEP_COPY, 0, 0, 100}}, 101, 0},
        {"1 to 1073741824 are possible", {{TN_STEP_COPY, 0, 0, 100}}, 0, 0},
    };
    uint8_t a[1000], digest[32], head[TN_DELTA_HEADER];
    fill(a, sizeof a, 1);
    tn_sha256_of(a, sizeof a, digest);
    tree_write(at("base"), a, sizeof a);
    for (size_t i = 0; i < TN_COUNT(all); i++) {
        forge(&all[i], sizeof a, digest);
        refuse("base", "forged", 0, TN_E_FORMAT, all[i].sentence);
    }
    /* A bomb, and one that would be if so much could be had of so little. */
    tn_delta_header h = {.base_bytes = sizeof a, .result_bytes = UINT64_C(1) << 40};
    tn_delta_header_write(&h, head);
    tree_write(at("forged"), head, sizeof head);
    refuse("base", "forged", 0, TN_E_LIMIT, "more than a delta may make");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_bytes_come_back, setup, teardown),
        cmocka_unit_test(elements_of_any_type_come_back),
        cmocka_unit_test_setup_teardown(tensors_are_compared_by_their_elements, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_is_gone_on_from, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(forged_steps_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
