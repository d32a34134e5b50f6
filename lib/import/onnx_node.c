/* NodeProto: nodes become nodes, lifted to the newest version; Constant nodes become constants.
 *
 * A node is added before its subgraphs are read, for they capture outer values through it. */
#include "graph/custom.h"
#include "graph/infer.h"
#include "import/lift.h"
#include "import/onnx.h"

static tn_function *find_function(const tn_importer *importer, const tn_node_proto *node) {
    int index;
    if (!tn_names_get(&importer->function_names, node->op, &index)) return NULL;
    for (; index >= 0; index = importer->functions[index].next) {
        tn_function *f = &importer->functions[index];
        bool same_domain =
            tn_string_equal(f->domain, node->domain) || (tn_is_ai_onnx(f->domain) && tn_is_ai_onnx(node->domain));
        if (same_domain && tn_string_equal(f->overload, node->overload)) return f;
    }
    return NULL;
}

static tn_status fail_at(const tn_node_proto *node, tn_status status) {
    const int op = (int)TN_MIN(node->op.size, 100u);
    if (!*node->name) return tn_fail_context(status, "a node without a name (%.*s)", op, node->op.data);
    return tn_fail_context(status, "node '%s' (%.*s)", node->name, op, node->op.data);
}

static tn_status read_node(tn_scope *scope, tn_string message, tn_node_proto *out) {
    tn_importer *importer = scope->importer;
    tn_node_proto node = {0};
    tn_string name = {"", 0};
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    while (tn_pb_next(&r, &f)) switch (f.number) {
        case 3: name = tn_pb_bytes(&r, &f); break;
        case 4: node.op = tn_pb_bytes(&r, &f); break;
        case 7: node.domain = tn_pb_bytes(&r, &f); break;
        case 8: node.overload = tn_pb_bytes(&r, &f); break;
        }
    TN_TRY(tn_pb_done(&r, "NodeProto"));
    TN_TRY(tn_pb_collect(importer->scratch, message, 1, &node.in, &node.in_count));
    TN_TRY(tn_pb_collect(importer->scratch, message, 2, &node.out, &node.out_count));
    TN_TRY(tn_pb_collect(importer->scratch, message, 5, &node.attrs, &node.attr_count));
    name.size = TN_MIN(name.size, 500u);
    node.name = name.size ? tn_scope_name(scope, name) : "";
    if (!node.name) return TN_E_MEMORY;
    if (!node.op.size)
        return tn_fail(TN_E_FORMAT, *node.name ? "node '%s' has no operator" : "a node without a name has no operator",
                       node.name);
    node.function = find_function(importer, &node);
    *out = node;
    return TN_OK;
}

tn_status tn_onnx_nodes(tn_scope *scope, tn_string message, uint32_t number, tn_node_proto **out, int *count) {
    tn_string *messages;
    TN_TRY(tn_pb_collect(scope->importer->scratch, message, number, &messages, count));
    *out = tn_region_array(scope->importer->scratch, (size_t)*count, sizeof **out);
    if (!*out) return TN_E_MEMORY;
    for (int i = 0; i < *count; i++) TN_TRY(read_node(scope, messages[i], &(*out)[i]));
    return TN_OK;
}

static bool is_constant(const tn_node_proto *node) {
    return tn_is_ai_onnx(node->domain) && tn_string_equal(node->op, tn_string_of("Constant"));
}

static tn_tensor *tensor_of(tn_graph *graph, const tn_attr *attr) {
    int64_t count = (int64_t)attr->count;
    tn_tensor *t = NULL;
    switch (attr->kind) {
    case TN_ATTR_FLOAT:
        if ((t = tn_graph_tensor(graph, TN_FLOAT32, 0, NULL, NULL))) *(float *)t->data = attr->f;
        break;
    case TN_ATTR_INT:
        if ((t = tn_graph_tensor(graph, TN_INT64, 0, NULL, NULL))) *(int64_t *)t->data = attr->i;
        break;
    case TN_ATTR_STRING:
        if ((t = tn_graph_tensor(graph, TN_STRING, 0, NULL, NULL))) *(tn_string *)t->data = attr->s;
        break;
    case TN_ATTR_FLOATS:
        if ((t = tn_graph_tensor(graph, TN_FLOAT32, 1, &count, NULL)) && count)
            memcpy(t->data, attr->floats, attr->count * sizeof(float));
        break;
    case TN_ATTR_INTS:
        if ((t = tn_graph_tensor(graph, TN_INT64, 1, &count, NULL)) && count)
            memcpy(t->data, attr->ints, attr->count * sizeof(int64_t));
        break;
    case TN_ATTR_STRINGS:
        if ((t = tn_graph_tensor(graph, TN_STRING, 1, &count, NULL)) && count)
            memcpy(t->data, attr->strings, attr->count * sizeof(tn_string));
        break;
    default: tn_fail(TN_E_FORMAT, "attribute '%s' is of a kind that a Constant does not take", attr->name);
    }
    return t;
}

static tn_status constant_node(tn_scope *scope, const tn_node_proto *node) {
    const tn_tensor *tensor = NULL;
    for (int i = 0; i < node->attr_count && !tensor; i++) {
        tn_attr attr;
        bool present;
        tn_string body;
        tn_scope *origin;
        TN_TRY(tn_onnx_attribute(scope, node->attrs[i], &attr, &present, &body, &origin));
        if (!present || (strncmp(attr.name, "value", 5) != 0 && strcmp(attr.name, "sparse_value") != 0)) continue;
        tensor = attr.kind == TN_ATTR_TENSOR ? attr.t : tensor_of(scope->graph, &attr);
        if (!tensor) return TN_E_FORMAT;
    }
    if (!tensor || node->out_count != 1 || node->in_count != 0)
        return tn_fail(TN_E_FORMAT, "a Constant needs a value, no input and one output");
    return node->out[0].size ? tn_scope_constant(scope, node->out[0], tensor) : TN_OK;
}

static tn_status declare_node(tn_scope *scope, const tn_node_proto *node) {
    if (is_constant(node)) return constant_node(scope, node);
    for (int i = 0; i < node->out_count; i++)
        if (node->out[i].size) TN_TRY(tn_scope_declare(scope, node->out[i], tn_scope_value(scope, node->out[i], NULL)));
    return TN_OK;
}

tn_status tn_onnx_declare(tn_scope *scope, const tn_node_proto *nodes, int count) {
    for (int i = 0; i < count; i++) {
        tn_status status = declare_node(scope, &nodes[i]);
        if (status != TN_OK) return fail_at(&nodes[i], status);
    }
    return TN_OK;
}

static tn_status add_unknown(tn_importer *importer, const tn_node_proto *node, int64_t version) {
    bool plain = tn_is_ai_onnx(node->domain);
    const char *name =
        tn_region_printf(importer->scratch, "%.*s%s%.*s (version %lld)",
                         plain ? 0 : (int)TN_MIN(node->domain.size, 100u), plain ? "" : node->domain.data,
                         plain ? "" : ":", (int)TN_MIN(node->op.size, 100u), node->op.data, (long long)version);
    if (!name) return TN_E_MEMORY;
    tn_unknown_op **last = &importer->unknown;
    for (int listed = 0; *last; last = &(*last)->next)
        if (strcmp((*last)->name, name) == 0 || ++listed == TN_UNKNOWN_LISTED) return TN_OK;
    tn_unknown_op *unknown = tn_region_alloc(importer->scratch, sizeof *unknown);
    if (!unknown) return TN_E_MEMORY;
    unknown->name = name;
    *last = unknown;
    return TN_OK;
}

static tn_status version_of(const tn_scope *scope, tn_string domain, int64_t *version) {
    for (int i = 0; i < scope->opset_count; i++) {
        tn_string known = scope->opsets[i].domain;
        if (tn_string_equal(known, domain) || (known.size == 0 && tn_is_ai_onnx(domain))) {
            *version = scope->opsets[i].version;
            return TN_OK;
        }
    }
    *version = 1;
    if (!tn_is_ai_onnx(domain)) return TN_OK;
    return tn_fail(TN_E_FORMAT, "the model does not say which opset of ai.onnx it is written for");
}

tn_status tn_onnx_body(tn_scope *scope, int owner, tn_pending_body *pending) {
    if (pending->origin->graph != scope->graph)
        return tn_fail(TN_E_UNSUPPORTED, "a subgraph that is a function's argument and used in another subgraph");
    if (scope->bodies >= TN_BODY_DEPTH)
        return tn_fail(TN_E_LIMIT, "subgraphs are nested deeper than %d", TN_BODY_DEPTH);
    tn_graph *body = tn_graph_create_body(scope->graph);
    if (!body) return TN_E_MEMORY;
    tn_scope inner = *pending->origin;
    inner.graph = body;
    inner.outer = pending->origin;
    inner.owner = owner;
    inner.bodies = scope->bodies + 1;
    inner.names = (tn_names){0};
    TN_TRY(tn_onnx_graph(&inner, pending->message));
    pending->attr.g = body;
    return tn_node_set_attr(scope->graph, &scope->graph->nodes[owner], &pending->attr);
}

tn_status tn_onnx_inputs(tn_scope *scope, const tn_node_proto *node, int *values) {
    for (int i = 0; i < node->in_count; i++) {
        bool found = true;
        values[i] = -1;
        if (node->in[i].size) TN_TRY(tn_scope_find(scope, node->in[i], &found, &values[i]));
        if (!found)
            return tn_fail(TN_E_FORMAT, "input %d '%.*s' does not exist: no input, initializer or node has that name",
                           i, (int)TN_MIN(node->in[i].size, 200u), node->in[i].data);
    }
    return TN_OK;
}

static void read_outputs(const tn_scope *scope, const tn_node_proto *node, int *values) {
    for (int i = 0; i < node->out_count; i++)
        if (!node->out[i].size || !tn_names_get(&scope->names, node->out[i], &values[i])) values[i] = -1;
}

static tn_status read_draft(tn_scope *scope, const tn_node_proto *node, tn_node *draft, tn_pending_body *bodies,
                            int *body_count) {
    tn_region *scratch = scope->importer->scratch;
    *draft = (tn_node){.name = node->name, .in_count = node->in_count, .out_count = node->out_count};
    draft->in = tn_region_array(scratch, (size_t)node->in_count, sizeof *draft->in);
    draft->out = tn_region_array(scratch, (size_t)node->out_count, sizeof *draft->out);
    draft->attrs = tn_region_array(scope->graph->region, (size_t)node->attr_count, sizeof *draft->attrs);
    if (!draft->in || !draft->out || !draft->attrs) return TN_E_MEMORY;
    TN_TRY(tn_onnx_inputs(scope, node, draft->in));
    read_outputs(scope, node, draft->out);
    for (int i = 0; i < node->attr_count; i++) {
        tn_pending_body *body = &bodies[*body_count];
        bool present;
        tn_attr attr;
        TN_TRY(tn_onnx_attribute(scope, node->attrs[i], &attr, &present, &body->message, &body->origin));
        if (!present) continue;
        body->attr = attr;
        if (attr.kind == TN_ATTR_GRAPH)
            ++*body_count;
        else
            draft->attrs[draft->attr_count++] = attr;
    }
    /* Absent inputs at the end are as good as none, but a Loop without a condition still has a place for it. */
    while (!*body_count && draft->in_count && draft->in[draft->in_count - 1] < 0) draft->in_count--;
    return TN_OK;
}

static tn_status add_node(tn_scope *scope, const tn_node_proto *node) {
    tn_importer *importer = scope->importer;
    const char *domain = tn_import_text(importer, node->domain), *name = tn_import_text(importer, node->op);
    tn_pending_body *bodies = tn_region_array(importer->scratch, (size_t)node->attr_count + 1, sizeof *bodies);
    int body_count = 0;
    if (!domain || !name || !bodies) return TN_E_MEMORY;
    tn_lift lift = {.graph = scope->graph,
                    .scratch = importer->scratch,
                    .domain = tn_is_ai_onnx(node->domain) ? "" : domain,
                    .op = name};
    TN_TRY(version_of(scope, node->domain, &lift.version));
    TN_TRY(read_draft(scope, node, &lift.node, bodies, &body_count));
    if (tn_is_ai_onnx(node->domain)) {
        if (lift.version < 9 && strcmp(name, "Scan") == 0 && body_count == 1)
            return tn_onnx_batched_scan(scope, &lift.node, &bodies[0]);
    } else if (strcmp(domain, "ai.onnx.preview") == 0 && strcmp(name, "FlexAttention") == 0) {
        return tn_onnx_flex_attention(&lift, body_count, bodies);
    }
    TN_TRY(tn_lift_apply(&lift));
    if (lift.done) return TN_OK;
    const tn_op *op = tn_graph_find_op(scope->graph, lift.domain, lift.op);
    if (!op) return add_unknown(importer, node, lift.version);
    int index = tn_graph_add_node(scope->graph, op, lift.node.name, lift.node.in_count, lift.node.in,
                                  lift.node.out_count, lift.node.out);
    if (index < 0) return TN_E_MEMORY;
    scope->graph->nodes[index].attrs = lift.node.attrs;
    scope->graph->nodes[index].attr_count = lift.node.attr_count;
    for (int i = 0; i < body_count; i++) TN_TRY(tn_onnx_body(scope, index, &bodies[i]));
    TN_TRY(tn_op_check_arity(&scope->graph->nodes[index]));
    /* Lifting what follows may need to know the types. */
    return !importer->unknown ? tn_graph_infer_node(scope->graph, &scope->graph->nodes[index]) : TN_OK;
}

/* The library's own operators go before functions of their names, which only say what they mean. */
static tn_status add_node_or_call(tn_scope *scope, const tn_node_proto *node) {
    tn_function *function = node->function;
    if (function && !node->overload.size) {
        const char *domain = tn_import_text(scope->importer, node->domain),
                   *name = tn_import_text(scope->importer, node->op);
        if (!domain || !name) return TN_E_MEMORY;
        if (tn_graph_find_op(scope->graph, domain, name)) function = NULL;
    }
    if (!function) return add_node(scope, node);
    if (function->active) return tn_fail(TN_E_FORMAT, "the function calls itself");
    return tn_onnx_call(scope, node, function);
}

tn_status tn_onnx_add(tn_scope *scope, const tn_node_proto *nodes, int count) {
    for (int i = 0; i < count; i++) {
        if (is_constant(&nodes[i])) continue;
        tn_status status = add_node_or_call(scope, &nodes[i]);
        if (status != TN_OK) return fail_at(&nodes[i], status);
    }
    return TN_OK;
}
