/* Sequences and optionals: sharing, positions, types; the operators on them. */
#include "ops.h"
#include "exec/host.h"
#include "exec/sequence.h"

static tn_sequence *sequence_of(int count, tn_tensor **tensors) {
    tn_sequence *s = tn_sequence_create(NULL);
    for (int i = 0; i < count; i++) {
        assert_ok(tn_sequence_insert(s, i, tensors[i]));
        tn_tensor_destroy(tensors[i]);
    }
    return s;
}
#define SEQUENCE(...)                                                                                                  \
    sequence_of(sizeof((tn_tensor *[]){__VA_ARGS__}) / sizeof(tn_tensor *), (tn_tensor *[]){__VA_ARGS__})
static tn_tensor *number(double value) {
    return make(TN_FLOAT32, SCALAR, VALUES(value));
}
static tn_tensor *position(double value) {
    return make(TN_INT64, SCALAR, VALUES(value));
}

static void elements_are_dense_copies_of_any_strides(void **state) {
    (void)state;
    tn_tensor *t = make(TN_INT32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6)), *turned;
    assert_ok(tn_tensor_view(t, 2, (int64_t[]){3, 2}, (int64_t[]){1, 3}, 0, &turned));
    tn_sequence *s = SEQUENCE(turned);
    memset(t->data, 0, tn_tensor_bytes(t));
    tn_tensor_destroy(t);
    const tn_tensor *e = tn_sequence_at(s, 0);
    assert_int_equal(e->dims[0], 3);
    assert_memory_equal(e->data, ((int32_t[]){1, 4, 2, 5, 3, 6}), 24);
    assert_null(tn_sequence_at(s, 1));
    assert_null(tn_sequence_at(s, -1));
    tn_sequence_destroy(s);
}

static void strings_are_copied_with_their_bytes_and_shared(void **state) {
    (void)state;
    char text[] = "abc";
    tn_tensor *t = make_strings(DIMS(2), STRINGS(text, ""));
    tn_sequence *s = SEQUENCE(t), *other = tn_sequence_create(NULL);
    text[0] = 'X';
    assert_ok(tn_sequence_assign(other, s));
    tn_sequence_destroy(s);
    tn_string first = ((const tn_string *)tn_sequence_at(other, 0)->data)[0];
    assert_memory_equal(first.data, "abc", 3);
    tn_sequence_destroy(other);
}

static void a_sequence_has_one_dtype_and_positions_within(void **state) {
    (void)state;
    tn_sequence *s = SEQUENCE(number(1), number(3));
    tn_tensor *two = number(2), *integer = make(TN_INT8, SCALAR, VALUES(1));
    assert_ok(tn_sequence_insert(s, 1, two));
    assert_int_equal(tn_sequence_insert(s, 4, two), TN_E_INVALID);
    assert_int_equal(tn_sequence_insert(s, 0, integer), TN_E_TYPE);
    assert_int_equal(tn_sequence_count(s), 3);
    assert_true(*(const float *)tn_sequence_at(s, 1)->data == 2);
    tn_sequence_clear(s);
    assert_ok(tn_sequence_insert(s, 0, integer));
    tn_tensor_destroy(two), tn_tensor_destroy(integer);
    tn_sequence_destroy(s);
}

/* Runs on a sequence (NULL: input 0 is the first tensor) and tensors, all of which it destroys. */
static tn_status run_on(const char *name, int attr_count, const tn_attr *attrs, tn_sequence *sequence, int count,
                        tn_tensor **tensors, tn_value *out) {
    tn_node node = {.op = op_named(name), .name = "", .attr_count = attr_count, .attrs = (tn_attr *)attrs};
    tn_value values[4] = {{.sequence = sequence, .present = true}}, *in[4] = {&values[0]};
    int first = sequence != NULL;
    for (int i = 0; i < count; i++) {
        in[first + i] = &values[first + i];
        values[first + i] = (tn_value){.tensor = *tensors[i], .present = true};
    }
    tn_status status = tn_eager_values(NULL, &node, first + count, in, 1, out);
    for (int i = 0; i < count; i++) tn_tensor_destroy(tensors[i]);
    tn_sequence_destroy(sequence);
    return status;
}
#define TENSORS(...)                                                                                                   \
    sizeof((tn_tensor *[]){__VA_ARGS__}) / sizeof(tn_tensor *), (tn_tensor *[]) {                                      \
        __VA_ARGS__                                                                                                    \
    }

/* Numbers of scalar elements; releases the value. */
static void expect_numbers(tn_value *value, int count, const double *numbers) {
    assert_non_null(value->sequence);
    assert_int_equal(tn_sequence_count(value->sequence), count);
    for (int i = 0; i < count; i++)
        assert_true(tn_get_double(TN_FLOAT32, tn_sequence_at(value->sequence, i)->data, 0) == numbers[i]);
    tn_value_release(value);
}

static void insert_and_erase_count_from_both_ends(void **state) {
    (void)state;
    tn_value out;
    assert_ok(run_on("SequenceInsert", NO_ATTRS, SEQUENCE(number(1), number(2)), TENSORS(number(9)), &out));
    expect_numbers(&out, 3, VALUES(1, 2, 9));
    assert_ok(
        run_on("SequenceInsert", NO_ATTRS, SEQUENCE(number(1), number(2)), TENSORS(number(9), position(-2)), &out));
    expect_numbers(&out, 3, VALUES(9, 1, 2));
    assert_int_equal(run_on("SequenceInsert", NO_ATTRS, SEQUENCE(number(1)), TENSORS(number(9), position(2)), &out),
                     TN_E_INVALID);
    assert_int_equal(run_on("SequenceInsert", NO_ATTRS, SEQUENCE(number(1)), TENSORS(position(9)), &out), TN_E_TYPE);
    assert_ok(
        run_on("SequenceErase", NO_ATTRS, SEQUENCE(number(1), number(2), number(3)), TENSORS(position(-2)), &out));
    expect_numbers(&out, 2, VALUES(1, 3));
    assert_int_equal(run_on("SequenceErase", NO_ATTRS, SEQUENCE(number(1)), TENSORS(position(-2)), &out), TN_E_INVALID);
    assert_int_equal(run_on("SequenceAt", NO_ATTRS, SEQUENCE(number(1)), TENSORS(position(1)), &out), TN_E_INVALID);
    assert_ok(run_on("SequenceAt", NO_ATTRS, SEQUENCE(number(1), number(5)), TENSORS(position(-1)), &out));
    assert_true(*(float *)out.tensor.data == 5);
    tn_value_release(&out);
}

static void tensors_fall_apart_and_come_together(void **state) {
    (void)state;
    tn_value out;
    tn_tensor *t = make(TN_INT16, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
    assert_ok(run_on("SplitToSequence", ATTRS(ATTR_INT("axis", -1)), NULL,
                     TENSORS(t, make(TN_INT32, DIMS(2), VALUES(1, 2))), &out));
    assert_int_equal(tn_sequence_count(out.sequence), 2);
    assert_memory_equal(tn_sequence_at(out.sequence, 1)->data, ((int16_t[]){2, 3, 5, 6}), 8);
    tn_sequence *pieces = tn_sequence_create(NULL);
    assert_ok(tn_sequence_assign(pieces, out.sequence));
    tn_value_release(&out);
    assert_ok(run_on("ConcatFromSequence", ATTRS(ATTR_INT("axis", 1)), pieces, 0, NULL, &out));
    assert_memory_equal(out.tensor.data, ((int16_t[]){1, 2, 3, 4, 5, 6}), 12);
    tn_value_release(&out);
    assert_ok(run_on("ConcatFromSequence", ATTRS(ATTR_INT("axis", -1), ATTR_INT("new_axis", 1)),
                     SEQUENCE(make(TN_INT8, DIMS(2), VALUES(1, 2)), make(TN_INT8, DIMS(2), VALUES(3, 4))), 0, NULL,
                     &out));
    assert_memory_equal(out.tensor.data, ((int8_t[]){1, 3, 2, 4}), 4);
    tn_value_release(&out);
    assert_int_equal(run_on("ConcatFromSequence", ATTRS(ATTR_INT("axis", 0)),
                            SEQUENCE(make(TN_INT8, DIMS(1, 2), NULL), make(TN_INT8, DIMS(1, 3), NULL)), 0, NULL, &out),
                     TN_E_SHAPE);
    assert_int_equal(run_on("ConcatFromSequence", ATTRS(ATTR_INT("axis", 0)), tn_sequence_create(NULL), 0, NULL, &out),
                     TN_E_INVALID);
    for (int bad = 0; bad < 3; bad++) {
        const double splits[][2] = {{1, 1}, {-1, 4}, {4, -1}};
        assert_int_equal(run_on("SplitToSequence", ATTRS(ATTR_INT("axis", 0)), NULL,
                                TENSORS(make(TN_FLOAT32, DIMS(3), NULL), make(TN_INT64, DIMS(2), splits[bad])), &out),
                         TN_E_INVALID);
    }
    assert_int_equal(
        run_on("SplitToSequence", NO_ATTRS, NULL, TENSORS(make(TN_FLOAT32, DIMS(3), NULL), position(0)), &out),
        TN_E_INVALID);
    assert_ok(run_on("SplitToSequence", ATTRS(ATTR_INT("keepdims", 0)), NULL,
                     TENSORS(make(TN_FLOAT32, DIMS(3), VALUES(7, 8, 9))), &out));
    expect_numbers(&out, 3, VALUES(7, 8, 9));
}

static void an_empty_sequence_knows_its_dtype(void **state) {
    (void)state;
    tn_value out;
    tn_node node = {
        .op = op_named("SequenceEmpty"), .name = "", .attr_count = 1, .attrs = &ATTR_INT("dtype", TN_INT64)};
    assert_ok(tn_eager_values(NULL, &node, 0, NULL, 1, &out));
    assert_int_equal(tn_sequence_dtype(out.sequence), TN_INT64);
    tn_value_release(&out);
    node.attrs = &ATTR_INT("dtype", 99);
    assert_int_equal(tn_eager_values(NULL, &node, 0, NULL, 1, &out), TN_E_TYPE);
}

static void optionals_hold_something_or_nothing(void **state) {
    (void)state;
    tn_value out, nothing = {0}, *in[] = {&nothing};
    tn_node has = {.op = op_named("OptionalHasElement"), .name = ""},
            get = {.op = op_named("OptionalGetElement"), .name = ""};
    assert_ok(tn_eager_values(NULL, &has, 1, in, 1, &out));
    assert_false(*(bool *)out.tensor.data);
    tn_value_release(&out);
    assert_int_equal(tn_eager_values(NULL, &get, 1, in, 1, &out), TN_E_INVALID);
    expect(run1("OptionalHasElement", NO_ATTRS, number(1)), TN_BOOL, SCALAR, VALUES(1));
    expect(run1("OptionalGetElement", NO_ATTRS, number(4)), TN_FLOAT32, SCALAR, VALUES(4));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_are_dense_copies_of_any_strides),
        cmocka_unit_test(strings_are_copied_with_their_bytes_and_shared),
        cmocka_unit_test(a_sequence_has_one_dtype_and_positions_within),
        cmocka_unit_test(insert_and_erase_count_from_both_ends),
        cmocka_unit_test(tensors_fall_apart_and_come_together),
        cmocka_unit_test(an_empty_sequence_knows_its_dtype),
        cmocka_unit_test(optionals_hold_something_or_nothing),
    };
    return cmocka_run_group_tests_name("sequence", tests, NULL, NULL);
}
