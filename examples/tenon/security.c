/* tenon eval --security: what the model gives away of the rows that it was trained on, rows of the data that look wrong, and what
 * the model's file has that no model needs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/risk.h>
#include "eval.h"

enum { NEIGHBOURS = 10 };

static tn_status losses_of(const tn_evaluation *e, double **out, int64_t *count) {
    *count = tn_tensor_dims(tn_evaluation_truth(e))[0];
    *out = tool_alloc((size_t)*count, sizeof **out);
    return tn_evaluation_losses(e, *out);
}

/* Rows that were trained on: of --members, or those for training of the pipeline's split. */
static tn_status evaluate_members(evaluation *e, const tn_evaluate_options *options, tn_evaluation **out) {
    const settings *s = e->settings;
    tn_evaluate_options o = *options;
    tn_csv_options dialect;
    tn_table *table = NULL;
    tn_status status = TN_OK;
    o.rows = s->members ? TN_ROWS_ALL : TN_ROWS_TRAINING;
    if (s->members && csv_options(s, &dialect)) status = tn_table_read(s->members, &dialect, &table);
    if (status == TN_OK) status = tn_evaluate(e->model, table ? table : e->table, &o, out);
    tn_table_destroy(table);
    return status;
}

static tn_status measure_membership(evaluation *e, const tn_evaluate_options *options) {
    tn_evaluation *members;
    double *losses[2] = {NULL, NULL};
    int64_t counts[2];
    e->membership.struct_size = sizeof e->membership;
    tn_status status = evaluate_members(e, options, &members);
    if (status != TN_OK) return status;
    status = losses_of(members, &losses[0], &counts[0]);
    if (status == TN_OK) status = losses_of(e->result, &losses[1], &counts[1]);
    if (status == TN_OK) status = tn_membership_of(losses[0], counts[0], losses[1], counts[1], &e->membership);
    free(losses[0]);
    free(losses[1]);
    tn_evaluation_destroy(members);
    return status;
}

static int stranger(const void *a, const void *b) {
    const suspect *x = a, *y = b;
    bool other = x->disagreement >= MOST_AGREE, another = y->disagreement >= MOST_AGREE;
    if (other != another) return another - other;
    return (x->distance < y->distance) - (x->distance > y->distance);
}

static tn_status find_suspects(evaluation *e) {
    const tn_tensor *x = tn_evaluation_inputs(e->result);
    if (!x) return TN_E_MEMORY;
    const tn_tensor *labels =
        tn_evaluation_task(e->result) == TN_TASK_CLASSIFICATION ? tn_evaluation_truth(e->result) : NULL;
    size_t rows = (size_t)tn_tensor_dims(x)[0];
    double *distance = tool_alloc(2 * rows, sizeof *distance), *disagreement = distance + rows;
    tn_status status = tn_suspects(x, labels, NEIGHBOURS, distance, disagreement);
    e->suspects = tool_alloc(rows, sizeof *e->suspects);
    for (size_t r = 0; status == TN_OK && r < rows; r++)
        if (distance[r] > FAR || disagreement[r] >= MOST_AGREE)
            e->suspects[e->suspect_count++] = (suspect){(int64_t)r + 1, distance[r], disagreement[r]};
    if (e->suspect_count) qsort(e->suspects, (size_t)e->suspect_count, sizeof *e->suspects, stranger);
    free(distance);
    return status;
}

bool measure_security(evaluation *e, const tn_evaluate_options *options) {
    const settings *s = e->settings;
    if (!s->security) return true;
    progress(s, "file");
    findings_scan(&e->findings, s->operands.items[0]);
    progress(s, "membership");
    tn_status status = measure_membership(e, options);
    if (status == TN_E_INVALID && !s->members)
        complain("note: which rows were trained on? %s; --members FILE.csv says it", tn_last_error());
    else if (status != TN_OK)
        return complain_status(s->members ? s->members : s->operands.items[1], status);
    progress(s, "neighbours");
    status = find_suspects(e);
    progress(s, NULL);
    return status == TN_OK || complain_status(s->operands.items[1], status);
}

void print_security(const evaluation *e) {
    const tn_membership *m = &e->membership;
    if (!e->settings->security) return;
    if (m->members)
        printf("\nmembership by the loss: AUC %.4f (0.5: nothing is given away), advantage %.4f, told at 1 %% false: "
               "%.4f; %lld rows against %lld\n",
               m->auc, m->advantage, m->exposed, (long long)m->members, (long long)m->others);
    printf("\n%d rows look wrong (of another class than most neighbours, or %g times as far as the median)\n",
           e->suspect_count, (double)FAR);
    for (int i = 0; i < e->suspect_count && i < SHOWN_SUSPECTS; i++)
        printf("%s%10lld %12.2f %12.0f %%\n", i ? "" : "       row     distance  other class\n",
               (long long)e->suspects[i].row, e->suspects[i].distance, 100 * e->suspects[i].disagreement);
    printf("\n%d things in the model's file that no model needs\n", e->findings.count);
    findings_print(&e->findings);
}

void emit_security(const evaluation *e, json *j) {
    if (!e->settings->security) return;
    if (e->membership.members) {
        emit_object(j, "membership");
        emit_int(j, "members", e->membership.members);
        emit_int(j, "others", e->membership.others);
        emit_number(j, "auc", e->membership.auc);
        emit_number(j, "advantage", e->membership.advantage);
        emit_number(j, "exposed", e->membership.exposed);
        emit_end(j);
    }
    emit_array(j, "suspects");
    for (int i = 0; i < e->suspect_count; i++) {
        emit_object(j, NULL);
        emit_int(j, "row", e->suspects[i].row);
        emit_number(j, "distance", e->suspects[i].distance);
        emit_number(j, "other_class", e->suspects[i].disagreement);
        emit_end(j);
    }
    emit_end(j);
    findings_emit(&e->findings, j);
}
