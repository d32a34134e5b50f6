/* Sums of gradients over a group, begun while the backward pass goes on. All members must begin the same sums in the same
 * order, whatever order their plans have: it is from the last gradient to the first, as the backward pass finds them, and one
 * that is ready early waits for its turn. */
#include "exec/model.h"
#include "train/train.h"

static tn_state *turn_of(const tn_trainer *t) {
    return &t->states.all[t->states.predicting + t->states.gradients - 1 - t->begun];
}

bool tn_trainer_overlaps(const tn_trainer *t) {
    const tn_group *group = t->options.group;
    return group && group->count > 1 && group->begin && group->finish;
}

static tn_status begin(tn_trainer *t) {
    const tn_tensor *x = turn_of(t)->next;
    t->begun++;
    return t->options.group->begin(t->options.group->context, x->dtype, tn_count(x), x->data);
}

/* Whether the output is where it is bound to, and not copied there at the end of the run. */
static bool lies_there(const tn_trainer *t, int output, const tn_tensor *bound) {
    const tn_tensor *found;
    return tn_session_output(t->train, output, &found) == TN_OK && found && found->data == bound->data;
}

static void see(void *context, const tn_node *node) {
    tn_trainer *t = context;
    const tn_graph *g = t->train_model->graph;
    for (int i = 0; i < node->out_count; i++)
        for (int o = 1 + t->states.statistics; o < g->output_count; o++) {
            tn_state *state = &t->states.all[t->states.parameters + o - 1];
            if (node->out[i] == g->outputs[o] && lies_there(t, o, state->next)) state->ready = true;
        }
    while (t->begun < t->states.gradients && turn_of(t)->ready && t->watched == TN_OK) t->watched = begin(t);
}

void tn_overlap_watch(tn_trainer *t) {
    for (int s = 0; s < t->states.count; s++) t->states.all[s].ready = false;
    t->begun = 0;
    t->watched = TN_OK;
    tn_session_watch(t->train, see, t);
}

tn_status tn_overlap_begin_rest(tn_trainer *t) {
    tn_status status = t->watched;
    while (t->begun < t->states.gradients && status == TN_OK) status = begin(t);
    t->watched = TN_OK;
    return status;
}

tn_status tn_overlap_finish(tn_trainer *t) {
    t->begun = 0;
    return t->options.group->finish(t->options.group->context);
}
