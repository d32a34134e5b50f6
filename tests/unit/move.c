/* Moves between layouts: random shapes and strides against an element by element copy, at every level and on threads. */
#include "unit.h"
#include "base/half.h"
#include "kernels/move.h"
#include <stdlib.h>

static uint32_t random_bits(void) {
    static uint64_t seed = 3;
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}

enum { BYTES = 1 << 20 };

static void copy_element(size_t bits, uint8_t *dst, int64_t d, const uint8_t *src, int64_t s) {
    if (bits < 8) {
        tn_packed_set(dst, (int)bits, d, tn_packed_get(src, (int)bits, s));
    } else {
        size_t size = bits / 8;
        memcpy(dst + d * (int64_t)size, src + s * (int64_t)size, size);
    }
}

/* Random dims; a dense destination; a source of permuted, reversed, stepped or repeated dims. */
static void random_move(tn_move *m, int64_t most, int64_t *out_offset) {
    int perm[6];
    int64_t left = most, stride = 1;
    m->rank = (int)(random_bits() % 6);
    *out_offset = 0;
    for (int i = 0; i < m->rank; i++) {
        int at = (int)(random_bits() % (uint32_t)(i + 1));
        perm[i] = perm[at];
        perm[at] = i;
        m->dims[i] = 1 + (int64_t)(random_bits() % (random_bits() % 3 ? 5 : 90));
        m->dims[i] = TN_MIN(m->dims[i], left);
        left /= m->dims[i];
    }
    for (int i = m->rank - 1; i >= 0; i--) {
        m->dst_strides[i] = stride;
        stride *= m->dims[i];
    }
    stride = 1;
    for (int i = m->rank - 1; i >= 0; i--) {
        int axis = perm[i];
        uint32_t kind = random_bits() % 8;
        int64_t step = kind == 0 && stride * m->dims[axis] * 2 <= most ? 2 : 1;
        m->src_strides[axis] = kind == 1 ? 0 : stride * step;
        stride *= kind == 1 ? 1 : m->dims[axis] * step;
        if (kind == 2) {
            *out_offset += m->src_strides[axis] * (m->dims[axis] - 1);
            m->src_strides[axis] = -m->src_strides[axis];
        }
    }
}

static void random_moves_match_element_copies(void **state) {
    (void)state;
    static const size_t widths[] = {2, 4, 8, 16, 32, 64, 128};
    uint8_t *src = malloc(BYTES), *want = malloc(BYTES), *got = malloc(BYTES);
    tn_pool *pool;
    assert_ok(tn_pool_create(2, NULL, &pool));
    for (int i = 0; i < BYTES; i++) src[i] = (uint8_t)random_bits();
    for (int round = 0; round < 600; round++) {
        tn_move m = {.bits = widths[random_bits() % TN_COUNT(widths)]}, plan;
        int64_t offset, count = 1, index[6] = {0};
        random_move(&m, BYTES / 16 / 64, &offset);
        plan = m;
        tn_move_plan(&plan);
        memset(want, 0, BYTES);
        for (int i = 0; i < m.rank; i++) count *= m.dims[i];
        for (int64_t at = 0; at < count; at++) {
            int64_t s = offset;
            for (int i = 0; i < m.rank; i++) s += index[i] * m.src_strides[i];
            copy_element(m.bits, want, at, src, s);
            for (int i = m.rank - 1; i >= 0 && ++index[i] == m.dims[i]; i--) index[i] = 0;
        }
        for (int level = 0; level < TN_CPU_LEVELS; level++) {
            const tn_kernels *k = tn_kernels_at((tn_cpu_level)level);
            if (!k) continue;
            memset(got, 0, BYTES);
            tn_move_run(&plan, k, level % 2 ? pool : NULL, got, 0, src, offset);
            assert_memory_equal(got, want, BYTES / 16);
        }
    }
    tn_pool_destroy(pool);
    free(src);
    free(want);
    free(got);
}

static void large_moves_split_into_tasks_leave_nothing_out(void **state) {
    (void)state;
    enum { SIDE = 700 };
    int32_t *src = malloc(SIDE * SIDE * 4), *dst = calloc(SIDE * SIDE, 4);
    tn_pool *pool;
    assert_ok(tn_pool_create(2, NULL, &pool));
    for (int i = 0; i < SIDE * SIDE; i++) src[i] = i;
    tn_move m = {.bits = 32, .rank = 2, .dims = {SIDE, SIDE}, .dst_strides = {SIDE, 1}, .src_strides = {1, SIDE}};
    tn_move_plan(&m);
    assert_true(m.tasks > 1);
    tn_move_run(&m, tn_kernels_best(), pool, dst, 0, src, 0);
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) assert_int_equal(dst[i * SIDE + j], src[j * SIDE + i]);
    tn_pool_destroy(pool);
    free(src);
    free(dst);
}

static void plans_see_what_a_shape_comes_down_to(void **state) {
    (void)state;
    /* [2,3,4] with its last two axes kept together is rows; pairs of floats are 8-byte elements. */
    tn_move rows = {.bits = 32, .rank = 3, .dims = {2, 3, 4}, .dst_strides = {12, 4, 1}, .src_strides = {24, 4, 1}};
    tn_move pairs = {.bits = 32, .rank = 3, .dims = {9, 9, 2}, .dst_strides = {18, 2, 1}, .src_strides = {2, 18, 1}};
    tn_move empty = {.bits = 32, .rank = 2, .dims = {0, 4}, .dst_strides = {4, 1}, .src_strides = {4, 1}};
    tn_move_plan(&rows);
    tn_move_plan(&pairs);
    tn_move_plan(&empty);
    assert_int_equal(rows.kind, TN_MOVE_ROWS);
    assert_int_equal(rows.cols, 12);
    assert_int_equal(pairs.kind, TN_MOVE_TRANSPOSE);
    assert_int_equal(pairs.element, 8);
    assert_int_equal(empty.tiles, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_moves_match_element_copies),
        cmocka_unit_test(large_moves_split_into_tasks_leave_nothing_out),
        cmocka_unit_test(plans_see_what_a_shape_comes_down_to),
    };
    return cmocka_run_group_tests_name("move", tests, NULL, NULL);
}
