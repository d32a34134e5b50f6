/* Running a plan: its steps in order. */
#include "exec/plan.h"

/* Turns of a step are one run. */
static tn_status run_profiled(tn_exec *exec, tn_plan *plan, tn_step *step, bool again) {
    const uint64_t start = tn_now();
    tn_status status = step->run(exec, plan, step);
    const uint64_t took = tn_now() - start;
    step->nanoseconds += took;
    step->last = again ? step->last + took : took;
    if (again) return status;
    step->last_start = start - exec->run_start;
    step->runs++;
    return status;
}

static tn_status run_steps(tn_exec *exec, tn_plan *plan, int first, int last, bool again) {
    for (int s = first; s <= last; s++) {
        tn_step *step = &plan->steps[s];
        if (step->skip) continue;
        TN_TRY(tn_exec_go_on(exec));
        tn_status status = exec->profile ? run_profiled(exec, plan, step, again) : step->run(exec, plan, step);
        if (status != TN_OK) return tn_node_context(status, step->node);
        if (exec->watch && plan->graph == exec->watched) exec->watch(exec->watch_context, step->node);
    }
    return TN_OK;
}

tn_status tn_plan_run(tn_exec *exec, tn_plan *plan) {
    int next = 0;
    for (const tn_turns *turns = plan->turns; turns; turns = turns->next) {
        TN_TRY(run_steps(exec, plan, next, turns->first_step - 1, false));
        for (int64_t turn = 0; turn < turns->count; turn++) {
            tn_turns_aim(plan, turns, turn);
            TN_TRY(run_steps(exec, plan, turns->first_step, turns->last_step, turn > 0));
        }
        next = turns->last_step + 1;
    }
    return run_steps(exec, plan, next, plan->step_count - 1, false);
}
