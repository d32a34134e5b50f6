/* tenon check: can Tenon run this model? */
#include "tool.h"

int check_command(const settings *s) {
    host h;
    findings found = {0};
    tn_self_test_result tested = {0};
    findings_scan(&found, s->model); /* first: tn_last_error is of what comes after it */
    bool good = host_load(&h, s) && host_start(&h, false) && host_run(&h) && self_test_check(&h, &tested);
    progress(s, NULL);
    if (s->json) {
        json j = json_open(stdout);
        emit_object(&j, NULL);
        emit_text(&j, "model", s->model);
        emit_bool(&j, "valid", good);
        if (h.open_size) emit_int(&j, "open_size", h.open_size);
        if (tested.cases) {
            emit_object(&j, "self_test");
            emit_int(&j, "cases", tested.cases);
            emit_int(&j, "failed", tested.failed);
            emit_number(&j, "worst", tested.worst);
            emit_end(&j);
        }
        emit_text(&j, "stage", good ? NULL : h.stage);
        emit_text(&j, "status", h.status ? tn_status_text(h.status) : NULL);
        emit_text(&j, "error", h.status ? tn_last_error() : NULL);
        findings_emit(&found, &j);
        emit_end(&j);
    } else if (good) {
        printf("%s is valid and runs: %d nodes", s->model, tn_graph_node_count(tn_model_graph(h.model)));
        if (h.node_count >= 0) printf(" (%d before the passes)", h.node_count);
        printf(", instruction set %s", tn_model_cpu(h.model));
        if (h.open_size > 1) printf(", with %lld for dimensions that the model leaves open", (long long)h.open_size);
        if (tested.cases) printf("; its self-test passes: %d cases, %.3g of the tolerance", tested.cases, tested.worst);
        printf("\n");
    } else {
        printf("%s does not run: it failed at: %s\n", s->model, h.stage);
    }
    if (!s->json) findings_print(&found);
    findings_free(&found);
    host_close(&h);
    return good ? EXIT_OK : EXIT_FAILED;
}
