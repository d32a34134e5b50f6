/* tenon inspect: what is in a model. */
#include "tool.h"
#include <stdlib.h>
#include <string.h>

typedef struct op_count {
    const char *domain, *op;
    int nodes;
    double multiplies;
} op_count;

static int by_count(const void *a, const void *b) {
    const op_count *x = a, *y = b;
    return x->nodes != y->nodes ? y->nodes - x->nodes : strcmp(x->op, y->op);
}

typedef struct op_list {
    op_count *ops;
    int count, room;
} op_list;

static void count_ops(const costs *c, op_list *list) {
    for (int n = 0; n < tn_graph_node_count(c->graph); n++) {
        tn_node_info node;
        int k = 0;
        if (tn_graph_node_info(c->graph, n, &node) != TN_OK) continue;
        op_count *ops = list->ops;
        while (k < list->count && (strcmp(ops[k].op, node.op) != 0 || strcmp(ops[k].domain, node.domain) != 0)) k++;
        if (k == list->room) {
            list->room = list->room ? 2 * list->room : 64;
            ops = list->ops = realloc(ops, (size_t)list->room * sizeof *ops);
            if (!ops) abort();
        }
        if (k == list->count) ops[list->count++] = (op_count){node.domain, node.op, 0, 0};
        ops[k].nodes++;
        if (c->multiplies[n] > 0) ops[k].multiplies += c->multiplies[n];
    }
    for (int b = 0; b < c->body_count; b++) count_ops(&c->bodies[b], list);
}

/* "12.3 M": up to three digits before the point, and a unit. */
static const char *amount(double value, char text[32]) {
    const char *units[] = {"", " k", " M", " G", " T"};
    int unit = 0;
    for (; value >= 999.5 && unit < 4; unit++) value /= 1000;
    snprintf(text, 32, value == (double)(long)value ? "%.0f%s" : "%.2f%s", value, units[unit]);
    return text;
}

static void value_text(const costs *c, int value, char *text, size_t size) {
    char type[256];
    tn_graph_value_text(c->graph, value, type, sizeof type);
    const cost_shape *s = &c->values[value];
    size_t n = strcspn(type, "[");
    if (s->rank < 0 || strstr(type, "sequence") || strstr(type, "optional")) {
        snprintf(text, size, "%s", type);
        return;
    }
    n = (size_t)snprintf(text, size, "%.*s[", (int)n, type);
    for (int i = 0; i < s->rank && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%lld", i ? "," : "", (long long)s->dims[i]);
    if (n < size) snprintf(text + n, size - n, "]");
}

static void show_ends(const host *h, json *j, const char *title, int count,
                      tn_status (*get)(const tn_model *model, int index, tn_value_info *out_info),
                      int (*value_of)(const tn_graph *graph, int index)) {
    const tn_graph *graph = tn_model_graph(h->model);
    if (j) emit_array(j, title);
    if (!j) printf("%s\n", title);
    for (int i = 0; i < count; i++) {
        tn_value_info info;
        char text[512];
        if (get(h->model, i, &info) != TN_OK) continue;
        tn_graph_value_text(graph, value_of(graph, i), text, sizeof text);
        if (!j) {
            printf("  %s: %s\n", info.name, text);
            continue;
        }
        emit_object(j, NULL);
        emit_text(j, "name", info.name);
        emit_text(j, "type", text);
        emit_text(j, "kind", info.kind);
        emit_text(j, "dtype", tn_dtype_name(info.dtype));
        emit_array(j, "dims");
        for (int d = 0; d < info.rank; d++)
            if (info.symbols[d])
                emit_text(j, NULL, info.symbols[d]);
            else
                emit_int(j, NULL, info.dims[d]);
        emit_end(j);
        emit_end(j);
    }
    if (j) emit_end(j);
}

static void show_ops(const costs *c, json *j) {
    char a[32];
    op_list list = {0};
    count_ops(c, &list);
    op_count *ops = list.ops;
    int count = list.count;
    qsort(ops, (size_t)count, sizeof *ops, by_count);
    if (j) emit_array(j, "operators");
    if (!j) printf("operators\n");
    for (int i = 0; i < count; i++) {
        const char *colon = ops[i].domain[0] ? ":" : "";
        if (j) {
            emit_object(j, NULL);
            emit_text(j, "domain", ops[i].domain);
            emit_text(j, "op", ops[i].op);
            emit_int(j, "nodes", ops[i].nodes);
            emit_number(j, "multiply_adds", ops[i].multiplies);
            emit_end(j);
        } else {
            printf("  %6d  %s%s%s", ops[i].nodes, ops[i].domain, colon, ops[i].op);
            if (ops[i].multiplies > 0) printf("  (%s multiply-adds)", amount(ops[i].multiplies, a));
            putchar('\n');
        }
    }
    if (j) emit_end(j);
    free(ops);
}

/* Bodies come behind their node, a step further in. */
static void show_nodes(const costs *c, int depth, json *j) {
    const tn_graph *graph = c->graph;
    const int indent = 4 * depth;
    char type[512], attributes[2048], a[32];
    int body = 0;
    if (j) emit_array(j, "node_list");
    if (!j && depth == 0) printf("nodes\n");
    for (int n = 0; n < tn_graph_node_count(graph); n++) {
        tn_node_info node;
        if (tn_graph_node_info(graph, n, &node) != TN_OK) continue;
        tn_graph_node_attributes(graph, n, attributes, sizeof attributes);
        if (j) {
            emit_object(j, NULL);
            emit_text(j, "domain", node.domain);
            emit_text(j, "op", node.op);
            emit_text(j, "name", node.name);
            emit_text(j, "attributes", attributes);
            emit_number(j, "multiply_adds", c->multiplies[n] < 0 ? 0.0 / 0.0 : c->multiplies[n]);
        } else {
            printf("%*s  %4d %s %s%s%s\n", indent, "", n, node.op, node.name, attributes[0] ? "  " : "", attributes);
        }
        for (int side = 0; side < 2; side++) {
            int count = side ? node.out_count : node.in_count;
            const int *list = side ? node.out : node.in;
            if (j) emit_array(j, side ? "outputs" : "inputs");
            for (int i = 0; i < count; i++) {
                tn_value_info info;
                bool there = list[i] >= 0 && tn_graph_value_info(graph, list[i], &info) == TN_OK;
                if (there) value_text(c, list[i], type, sizeof type);
                if (!j && there)
                    printf("%*s       %s %s %s\n", indent, "", side ? "->" : "  ", type, info.name ? info.name : "");
                if (!j) continue;
                emit_object(j, NULL);
                emit_text(j, "name", there ? info.name : NULL);
                emit_text(j, "type", there ? type : NULL);
                emit_end(j);
            }
            if (j) emit_end(j);
        }
        if (!j && c->multiplies[n] > 0)
            printf("%*s          %s multiply-adds\n", indent, "", amount(c->multiplies[n], a));
        if (j && body < c->body_count && c->bodies[body].owner == n) emit_array(j, "bodies");
        bool listed = false;
        for (; body < c->body_count && c->bodies[body].owner == n; body++, listed = true) {
            if (!j) printf("%*s       %s\n", indent, "", c->bodies[body].name);
            if (j) emit_object(j, NULL);
            if (j) emit_text(j, "attribute", c->bodies[body].name);
            show_nodes(&c->bodies[body], depth + 1, j);
            if (j) emit_end(j);
        }
        if (j && listed) emit_end(j);
        if (j) emit_end(j);
    }
    if (j) emit_end(j);
}

static void show_passes(const host *h, json *j) {
    if (j) emit_array(j, "passes");
    if (!j) printf("passes\n");
    for (int i = 0; i < h->pass_count; i++) {
        const pass_row *p = &h->passes[i];
        if (!j) {
            printf("  %-28s %5d nodes -> %5d, applied %d times\n", p->name, p->before, p->after, p->changes);
            continue;
        }
        emit_object(j, NULL);
        emit_text(j, "pass", p->name);
        emit_int(j, "nodes_before", p->before);
        emit_int(j, "nodes_after", p->after);
        emit_int(j, "changes", p->changes);
        emit_end(j);
    }
    if (j) emit_end(j);
}

static void show_sizes(const host *h, const costs *c, bool prepared, json *j) {
    char a[32], b[32];
    tn_session_memory m = {.struct_size = sizeof m};
    bool memory = prepared && tn_session_memory_info(h->session, &m) == TN_OK;
    if (!j) {
        printf("parameters  %s in %sB\n", amount(c->parameters, a), amount(c->parameter_bytes, b));
        printf("work  %s multiply-adds", amount(c->total, a));
        if (c->unknown) printf(", without %d nodes of unknown shape", c->unknown);
        printf("%s\n", c->body_count ? ", bodies of If, Loop and Scan counted once" : "");
        if (memory) printf("memory  arena %sB, ", amount((double)m.arena, a));
        if (memory) printf("%sB if no tensors shared memory\n", amount((double)m.sum, b));
        if (memory) printf("        packed weights %sB, ", amount((double)m.packed, a));
        if (memory && m.mapped) printf("%sB of them in a file, ", amount((double)m.mapped, a));
        if (memory) printf("scratch %sB\n", amount((double)m.scratch, b));
        return;
    }
    emit_number(j, "parameters", c->parameters);
    emit_number(j, "parameter_bytes", c->parameter_bytes);
    emit_number(j, "multiply_adds", c->total);
    emit_int(j, "nodes_of_unknown_shape", c->unknown);
    emit_int(j, "nodes_in_bodies", c->inner_nodes);
    if (!memory) return;
    emit_object(j, "memory");
    emit_int(j, "arena", (int64_t)m.arena);
    emit_int(j, "sum_without_reuse", (int64_t)m.sum);
    emit_int(j, "packed_weights", (int64_t)m.packed);
    emit_int(j, "packed_weights_in_file", (int64_t)m.mapped);
    emit_int(j, "scratch", (int64_t)m.scratch);
    emit_end(j);
}

static void show(const host *h, const settings *s, const costs *c, bool prepared, json *j) {
    const tn_graph *graph = tn_model_graph(h->model);
    if (j) {
        emit_object(j, NULL);
        emit_text(j, "model", s->model);
        emit_text(j, "cpu", tn_model_cpu(h->model));
        emit_int(j, "nodes", tn_graph_node_count(graph));
        emit_int(j, "nodes_before_passes", h->node_count < 0 ? tn_graph_node_count(graph) : h->node_count);
    } else {
        printf("%s: %d nodes", s->model, tn_graph_node_count(graph));
        if (h->node_count >= 0) printf(" (%d before the passes)", h->node_count);
        if (c->inner_nodes) printf(" and %d in the bodies of If, Loop and Scan", c->inner_nodes);
        printf(", instruction set %s\n", tn_model_cpu(h->model));
    }
    manifest_show(h->model, s->model, j);
    show_ends(h, j, "inputs", tn_model_input_count(h->model), tn_model_input_info, tn_graph_input_value);
    show_ends(h, j, "outputs", tn_model_output_count(h->model), tn_model_output_info, tn_graph_output_value);
    show_sizes(h, c, prepared, j);
    show_ops(c, j);
    if (s->passes) show_passes(h, j);
    if (s->nodes) show_nodes(c, 0, j);
    if (j) emit_end(j);
}

int inspect_command(const settings *s) {
    host h;
    costs c;
    if (!host_load(&h, s)) {
        host_close(&h);
        return EXIT_FAILED;
    }
    /* Shapes that hang on data are known after a run only. A model that does not run can be looked at all the same. */
    bool prepared = host_start(&h, true) && host_run(&h);
    if (!prepared) complain("so shapes and memory are what the file alone says");
    progress(s, NULL);
    costs_make(&h, &c);
    show(&h, s, &c, prepared, s->json ? &(json){.file = stdout} : NULL);
    bool good = !s->svg || svg_write(&c, s->svg);
    costs_free(&c);
    host_close(&h);
    return good ? EXIT_OK : EXIT_FAILED;
}
