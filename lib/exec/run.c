/* Running a plan: its steps in order. */
#include "exec/plan.h"

static tn_status run_profiled(tn_exec *exec, tn_plan *plan, tn_step *step) {
    uint64_t start = tn_now();
    tn_status status = step->run(exec, plan, step);
    step->last = tn_now() - start;
    step->last_start = start - exec->run_start;
    step->nanoseconds += step->last;
    step->runs++;
    return status;
}

tn_status tn_plan_run(tn_exec *exec, tn_plan *plan) {
    for (int s = 0; s < plan->step_count; s++) {
        tn_step *step = &plan->steps[s];
        if (step->skip) continue;
        TN_TRY(tn_exec_go_on(exec));
        tn_status status = exec->profile ? run_profiled(exec, plan, step) : step->run(exec, plan, step);
        if (status != TN_OK) return tn_node_context(status, step->node);
        if (exec->watch && plan->graph == exec->watched) exec->watch(exec->watch_context, step->node);
    }
    return TN_OK;
}
