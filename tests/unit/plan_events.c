/* What plans leave for TensorBoard while they train. */
#include "unit.h"
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <tenon/tenon.h>
#include "base/little.h"
#include "tree.h"

TREE_ROOT("plan_events")

enum { ROWS = 90, STEPS = 9 }; /* of an epoch: 72 rows in batches of 8 */

static const char text[] =
    "name: waves\ndata: {train: rows.csv}\npipeline: {features: [{column: x}], target: {column: y}}\n"
    "model: {layers: [{dense: 4, activation: tanh}]}\n"
    "train: {batch: 8, validation: 0.2, events: runs}\n";

static bool stop_after(void *context, const tn_plan_progress *p) {
    (void)p;
    return --*(int *)context > 0;
}

/* As TensorBoard 2.20 reads them. */
static void events_of_each_epoch_are_for_tensorboard(void **state) {
    (void)state;
    char pattern[600];
    size_t size, at = 0;
    int records = 0, left = 100;
    glob_t found;
    if (!TN_WITH_YAML) skip();
    tn_plan *plan;
    FILE *rows = fopen(tree_at(root, "rows.csv"), "w");
    for (int i = -1; i < ROWS; i++) fprintf(rows, i < 0 ? "x,y\n" : "%g,%g\n", sin(i), cos(2 * i));
    fclose(rows);
    assert_ok(tn_plan_parse(text, sizeof text - 1, root, &plan));
    tn_plan_options o = {.struct_size = sizeof o, .progress = stop_after, .context = &left};
    assert_int_equal(tn_plan_train(plan, &o, NULL), TN_E_INTERRUPTED);
    snprintf(pattern, sizeof pattern, "%s/events.out.tfevents.*", tree_at(root, "runs"));
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    char *bytes = tree_read(found.gl_pathv[0], &size);
    for (; at + 16 <= size; records++) {
        const uint8_t *record = (const uint8_t *)bytes + at;
        const uint64_t length = tn_get_little(record, 8);
        assert_true(length < 200 && record[12] == 0x09);
        if (records) { /* step, then a summary */
            assert_int_equal(record[21], 0x10);
            assert_int_equal(record[22], records);
            assert_int_equal(record[23], 0x2A);
            assert_non_null(memmem(record, (size_t)length, "loss/training", 13));
            assert_non_null(memmem(record, (size_t)length, "loss/validation", 15));
        } else {
            assert_memory_equal(record + 21,
                                "\x1a\x0d"
                                "brain.Event:2",
                                15);
            assert_int_equal(tn_get_little(record + 8, 4), 0x224B7FA3); /* masked CRC-32C of the length */
        }
        at += 16 + length;
    }
    assert_int_equal(at, size);
    assert_int_equal(records, 1 + 100 / STEPS);
    free(bytes);
    globfree(&found);
    tn_plan_destroy(plan);
}

static void folders_that_cannot_be_are_named(void **state) {
    (void)state;
    tn_plan *plan;
    if (!TN_WITH_YAML) skip();
    assert_ok(tn_plan_parse(text, sizeof text - 1, root, &plan));
    tree_remove(tree_at(root, "runs"));
    tree_write(tree_at(root, "runs"), "a file", 6);
    assert_int_equal(tn_plan_train(plan, NULL, NULL), TN_E_IO);
    assert_non_null(strstr(tn_last_error(), "runs/events.out.tfevents."));
    tn_plan_destroy(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_of_each_epoch_are_for_tensorboard),
        cmocka_unit_test(folders_that_cannot_be_are_named),
    };
    return cmocka_run_group_tests_name("plan_events", tests, setup, teardown);
}
