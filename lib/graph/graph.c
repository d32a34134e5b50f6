/* The graph's storage and its edits. All lives in the root's region; arrays grow by doubling and leave their old
 * selves behind, which at most doubles what they take. */
#include "graph/graph.h"
#include "graph/op.h"
#include <sys/mman.h>
#include <unistd.h>

typedef struct tn_keeper {
    struct tn_keeper *next;
    void (*release)(void *pointer, size_t size);
    void *pointer;
    size_t size;
    bool is_file;
} tn_keeper;

tn_status tn_graph_create_root(const tn_allocator *allocator, size_t limit, tn_graph **out_graph) {
    *out_graph = NULL;
    tn_allocator *bounded = limit ? tn_bounded_create(allocator, limit) : NULL;
    if (limit && !bounded) return TN_E_MEMORY;
    if (bounded) allocator = bounded;
    tn_region *region = tn_region_create(allocator);
    tn_graph *graph = region ? tn_region_alloc(region, sizeof *graph) : NULL;
    if (!graph) {
        tn_region_destroy(region);
        tn_bounded_destroy(bounded);
        return TN_E_MEMORY;
    }
    graph->bounded = bounded;
    graph->region = region;
    graph->root = graph;
    graph->name = "";
    graph->allocator = allocator;
    *out_graph = graph;
    return TN_OK;
}

tn_graph *tn_graph_create_body(tn_graph *parent) {
    tn_graph *graph = tn_region_alloc(parent->region, sizeof *graph);
    if (!graph) return NULL;
    graph->region = parent->region;
    graph->root = parent->root;
    graph->name = "";
    graph->allocator = parent->allocator;
    return graph;
}

void tn_graph_destroy(tn_graph *graph) {
    if (!graph) return;
    const tn_allocator *bounded = graph->root->bounded;
    for (tn_keeper *k = graph->root->keepers; k; k = k->next) k->release(k->pointer, k->size);
    tn_region_destroy(graph->region);
    tn_bounded_destroy(bounded);
}

tn_status tn_graph_keep(tn_graph *graph, void (*release)(void *pointer, size_t size), void *pointer, size_t size) {
    tn_keeper *keeper = tn_region_alloc(graph->region, sizeof *keeper);
    if (!keeper) {
        release(pointer, size);
        return TN_E_MEMORY;
    }
    *keeper = (tn_keeper){graph->root->keepers, release, pointer, size, false};
    graph->root->keepers = keeper;
    return TN_OK;
}

tn_status tn_graph_keep_file(tn_graph *graph, void (*release)(void *pointer, size_t size), void *pointer, size_t size) {
    TN_TRY(tn_graph_keep(graph, release, pointer, size));
    graph->root->keepers->is_file = true;
    return TN_OK;
}

void tn_graph_rest_file(const tn_graph *graph, const void *data, size_t bytes) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)data, to = from + bytes;
    for (const tn_keeper *k = graph->root->keepers; k; k = k->next) {
        uintptr_t start = (uintptr_t)k->pointer;
        if (!k->is_file || from < start || to > start + k->size) continue;
        from = (from + page - 1) / page * page; /* whole pages of it alone */
        to = to / page * page;
        if (to > from) madvise((char *)k->pointer + (from - start), to - from, MADV_DONTNEED);
        return;
    }
}

/* Makes room for one more element: returns the array, possibly moved, or NULL. */
static void *grow(tn_graph *graph, void *array, int count, int *capacity, size_t size) {
    if (count < *capacity) return array;
    int more = *capacity ? *capacity * 2 : 8;
    if (more < *capacity) {
        tn_fail(TN_E_LIMIT, "a graph with more than %d parts", *capacity);
        return NULL;
    }
    void *moved = tn_region_array(graph->region, (size_t)more, size);
    if (!moved) return NULL;
    if (count) memcpy(moved, array, (size_t)count * size);
    *capacity = more;
    return moved;
}

int tn_graph_add_value(tn_graph *graph, const char *name, const tn_type *type) {
    tn_graph_value *values =
        grow(graph, graph->values, graph->value_count, &graph->value_capacity, sizeof *graph->values);
    if (!values) return -1;
    graph->values = values;
    tn_graph_value *value = &values[graph->value_count];
    value->name = name && *name ? tn_region_strdup(graph->region, name) : "";
    if (!value->name) return -1;
    value->constant = NULL;
    value->producer = -1;
    if (type)
        value->type = *type;
    else
        tn_type_unknown(&value->type);
    return graph->value_count++;
}

int tn_graph_add_constant(tn_graph *graph, const char *name, const tn_tensor *tensor) {
    tn_type type;
    tn_type_tensor(&type, tensor->dtype, tensor->rank, tensor->dims);
    int value = tn_graph_add_value(graph, name, &type);
    if (value >= 0) graph->values[value].constant = tensor;
    return value;
}

static int *copy_ints(tn_graph *graph, int count, const int *from) {
    int *copy = tn_region_array(graph->region, (size_t)TN_MAX(count, 1), sizeof *copy);
    if (copy && count) memcpy(copy, from, (size_t)count * sizeof *copy);
    return copy;
}

static tn_status fill_node(tn_graph *graph, tn_node *node, const tn_op *op, const char *name, int in_count,
                           const int *in, int out_count, const int *out) {
    *node = (tn_node){.op = op, .in_count = in_count, .out_count = out_count, .formal_in = in_count};
    node->name = name && *name ? tn_region_strdup(graph->region, name) : "";
    node->in = copy_ints(graph, in_count, in);
    node->out = copy_ints(graph, out_count, out);
    return node->name && node->in && node->out ? TN_OK : TN_E_MEMORY;
}

int tn_graph_add_node(tn_graph *graph, const tn_op *op, const char *name, int in_count, const int *in, int out_count,
                      const int *out) {
    tn_node *nodes = grow(graph, graph->nodes, graph->node_count, &graph->node_capacity, sizeof *graph->nodes);
    if (!nodes) return -1;
    graph->nodes = nodes;
    int index = graph->node_count;
    if (fill_node(graph, &nodes[index], op, name, in_count, in, out_count, out) != TN_OK) return -1;
    for (int i = 0; i < out_count; i++)
        if (out[i] >= 0) graph->values[out[i]].producer = index;
    graph->node_count++;
    return index;
}

tn_status tn_graph_insert_node(tn_graph *graph, int at, const tn_op *op, const char *name, int in_count, const int *in,
                               int out_count, const int *out) {
    if (tn_graph_add_node(graph, op, name, in_count, in, out_count, out) < 0) return TN_E_MEMORY;
    tn_node node = graph->nodes[graph->node_count - 1];
    memmove(&graph->nodes[at + 1], &graph->nodes[at], (size_t)(graph->node_count - 1 - at) * sizeof node);
    graph->nodes[at] = node;
    for (int n = at; n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n].out_count && !graph->nodes[n].dead; i++)
            if (graph->nodes[n].out[i] >= 0) graph->values[graph->nodes[n].out[i]].producer = n;
    return TN_OK;
}

tn_status tn_node_set_inputs(tn_graph *graph, tn_node *node, int count, const int *in) {
    int *copy = copy_ints(graph, count, in);
    if (!copy) return TN_E_MEMORY;
    node->in = copy;
    node->in_count = node->formal_in = count;
    return TN_OK;
}

int tn_graph_add_symbol(tn_graph *graph, const char *name) {
    tn_graph *root = graph->root;
    for (int i = 0; i < root->symbol_count; i++)
        if (strcmp(root->symbols[i], name) == 0) return i;
    const char **symbols = grow(root, root->symbols, root->symbol_count, &root->symbol_capacity, sizeof *symbols);
    char *copy = symbols ? tn_region_strdup(root->region, name) : NULL;
    if (!copy) return -1;
    root->symbols = symbols;
    symbols[root->symbol_count] = copy;
    return root->symbol_count++;
}

static tn_status append_text(tn_graph *root, const char *text) {
    const char **list = grow(root, root->metadata, root->metadata_count, &root->metadata_capacity, sizeof *list);
    char *copy = list ? tn_region_strdup(root->region, text) : NULL;
    if (!copy) return TN_E_MEMORY;
    root->metadata = list;
    list[root->metadata_count++] = copy;
    return TN_OK;
}

tn_status tn_graph_add_metadata(tn_graph *graph, const char *key, const char *value) {
    TN_TRY(append_text(graph->root, key));
    return append_text(graph->root, value);
}

static tn_status append(tn_graph *graph, int **list, int *count, int *capacity, int value) {
    int *moved = grow(graph, *list, *count, capacity, sizeof **list);
    if (!moved) return TN_E_MEMORY;
    *list = moved;
    moved[(*count)++] = value;
    return TN_OK;
}

tn_status tn_graph_add_input(tn_graph *graph, int value) {
    return append(graph, &graph->inputs, &graph->input_count, &graph->input_capacity, value);
}

tn_status tn_graph_add_output(tn_graph *graph, int value) {
    return append(graph, &graph->outputs, &graph->output_count, &graph->output_capacity, value);
}

int tn_graph_capture(tn_graph *graph, int node, tn_graph *body, int outer) {
    const tn_graph_value *value = &graph->values[outer];
    tn_node *owner = &graph->nodes[node];
    if (value->constant) {
        for (int i = 0; i < body->value_count; i++)
            if (body->values[i].constant == value->constant) return i;
        return tn_graph_add_constant(body, value->name, value->constant);
    }
    int input = owner->formal_in;
    while (input < owner->in_count && owner->in[input] != outer) input++;
    if (input == owner->in_count) {
        int *in = tn_region_array(graph->region, (size_t)owner->in_count + 1, sizeof *in);
        if (!in) return -1;
        memcpy(in, owner->in, (size_t)owner->in_count * sizeof *in);
        in[owner->in_count++] = outer;
        owner->in = in;
    }
    for (int i = 0; i < body->capture_count; i++)
        if (body->captures[i].node_input == input) return body->captures[i].value;
    tn_capture *captures =
        grow(body, body->captures, body->capture_count, &body->capture_capacity, sizeof *body->captures);
    if (!captures) return -1;
    body->captures = captures;
    int inner = tn_graph_add_value(body, value->name, &value->type);
    if (inner < 0) return -1;
    captures[body->capture_count++] = (tn_capture){input, inner};
    return inner;
}

tn_tensor *tn_graph_tensor(tn_graph *graph, tn_dtype dtype, int rank, const int64_t *dims, void *data) {
    tn_tensor *tensor = tn_region_alloc(graph->region, sizeof *tensor);
    if (!tensor || tn_tensor_set_dense(tensor, dtype, rank, dims, data) != TN_OK) return NULL;
    if (!data) tensor->data = tn_region_alloc(graph->region, tn_dtype_bytes(dtype, tn_count(tensor)));
    return tensor->data ? tensor : NULL;
}

void tn_graph_replace_uses(tn_graph *graph, int old_value, int new_value) {
    for (int n = 0; n < graph->node_count; n++) {
        const tn_node *node = &graph->nodes[n];
        for (int i = 0; i < node->in_count; i++)
            if (node->in[i] == old_value) node->in[i] = new_value;
    }
    for (int i = 0; i < graph->output_count; i++)
        if (graph->outputs[i] == old_value) graph->outputs[i] = new_value;
}

static bool is_output(const tn_graph *graph, int value) {
    for (int i = 0; i < graph->output_count; i++)
        if (graph->outputs[i] == value) return true;
    return false;
}

tn_status tn_graph_redirect(tn_graph *graph, int old_value, int new_value) {
    if (!is_output(graph, old_value)) {
        tn_graph_replace_uses(graph, old_value, new_value);
        return TN_OK;
    }
    int producer = graph->values[new_value].producer;
    if (producer >= 0 && !graph->nodes[producer].dead && !is_output(graph, new_value)) {
        tn_node *node = &graph->nodes[producer];
        for (int i = 0; i < node->out_count; i++)
            if (node->out[i] == new_value) node->out[i] = old_value;
        tn_graph_replace_uses(graph, new_value, old_value);
        graph->values[old_value].producer = producer;
        return TN_OK;
    }
    const tn_op *identity = tn_op_find("", "Identity");
    if (!identity) return tn_fail(TN_E_UNSUPPORTED, "the operator Identity is not in this build");
    for (int n = 0; n < graph->node_count; n++) /* readers other than the output need not wait for the copy */
        for (int i = 0; i < graph->nodes[n].in_count; i++)
            if (graph->nodes[n].in[i] == old_value) graph->nodes[n].in[i] = new_value;
    return tn_graph_add_node(graph, identity, "", 1, &new_value, 1, &old_value) < 0 ? TN_E_MEMORY : TN_OK;
}

void tn_graph_count_uses(const tn_graph *graph, int *uses) {
    if (graph->value_count) memset(uses, 0, (size_t)graph->value_count * sizeof *uses);
    for (int n = 0; n < graph->node_count; n++) {
        const tn_node *node = &graph->nodes[n];
        for (int i = 0; i < node->in_count && !node->dead; i++)
            if (node->in[i] >= 0) uses[node->in[i]]++;
    }
    for (int i = 0; i < graph->output_count; i++) uses[graph->outputs[i]]++;
}

static void set_producers(tn_graph *graph) {
    for (int v = 0; v < graph->value_count; v++) graph->values[v].producer = -1;
    for (int n = 0; n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n].out_count; i++)
            if (graph->nodes[n].out[i] >= 0) graph->values[graph->nodes[n].out[i]].producer = n;
}

void tn_graph_compact(tn_graph *graph) {
    int kept = 0;
    for (int n = 0; n < graph->node_count; n++)
        if (!graph->nodes[n].dead) graph->nodes[kept++] = graph->nodes[n];
    graph->node_count = kept;
    set_producers(graph);
}

static bool is_sorted(const tn_graph *graph) {
    for (int n = 0; n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n].in_count; i++) {
            int v = graph->nodes[n].in[i];
            if (v >= 0 && graph->values[v].producer >= n) return false;
        }
    return true;
}

/* Kahn's algorithm: nodes whose inputs are all written join the queue, in the order in which they stood. */
static tn_status sort_with(tn_graph *graph, tn_region *scratch) {
    int n = graph->node_count;
    size_t edges = 0;
    for (int i = 0; i < n; i++) edges += (size_t)graph->nodes[i].in_count;
    int *waits = tn_region_array(scratch, (size_t)n, sizeof *waits);
    int *start = tn_region_array(scratch, (size_t)n + 1, sizeof *start);
    int *reader = tn_region_array(scratch, edges + 1, sizeof *reader);
    int *queue = tn_region_array(scratch, (size_t)n, sizeof *queue);
    tn_node *sorted = tn_region_array(scratch, (size_t)n, sizeof *sorted);
    if (!waits || !start || !reader || !queue || !sorted) return TN_E_MEMORY;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < n; i++)
            for (int k = 0; k < graph->nodes[i].in_count; k++) {
                int v = graph->nodes[i].in[k], p = v >= 0 ? graph->values[v].producer : -1;
                if (p < 0) continue;
                if (pass == 0)
                    start[p + 1]++, waits[i]++;
                else
                    reader[start[p]++] = i;
            }
        if (pass == 0)
            for (int i = 0; i < n; i++) start[i + 1] += start[i];
    }
    int head = 0, tail = 0; /* start[p] now is the end of p's readers */
    for (int i = 0; i < n; i++)
        if (!waits[i]) queue[tail++] = i;
    for (; head < tail; head++) {
        int p = queue[head];
        for (int e = p ? start[p - 1] : 0; e < start[p]; e++)
            if (--waits[reader[e]] == 0) queue[tail++] = reader[e];
    }
    if (tail < n) {
        int stuck = 0;
        while (!waits[stuck]) stuck++;
        const tn_node *node = &graph->nodes[stuck];
        return tn_fail(TN_E_FORMAT, "the graph has a cycle through node '%s' (%s); nodes must not depend on themselves",
                       node->name, node->op->name);
    }
    for (int i = 0; i < n; i++) sorted[i] = graph->nodes[queue[i]];
    if (n) memcpy(graph->nodes, sorted, (size_t)n * sizeof *sorted);
    set_producers(graph);
    return TN_OK;
}

tn_status tn_graph_sort(tn_graph *graph) {
    set_producers(graph);
    if (is_sorted(graph)) return TN_OK;
    tn_region *scratch = tn_region_create(graph->allocator);
    if (!scratch) return TN_E_MEMORY;
    tn_status status = sort_with(graph, scratch);
    tn_region_destroy(scratch);
    return status;
}
