/* Manifests from YAML, by libyaml's events. What could make a small file large (aliases) or ambiguous (tags, keys that stand
 * twice, several documents) is refused, with its line and column. */
#include "model/manifest.h"
#if TN_WITH_YAML
#include <yaml.h>

typedef struct reader {
    tn_region *region;
    yaml_parser_t parser;
    int nodes;
} reader;

static tn_status fail_at(yaml_mark_t mark, const char *what) {
    return tn_fail(TN_E_FORMAT, "line %zu, column %zu: %s", mark.line + 1, mark.column + 1, what);
}

static tn_status next(reader *r, yaml_event_t *event) {
    if (yaml_parser_parse(&r->parser, event)) return TN_OK;
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR) return tn_fail(TN_E_MEMORY, "no memory to read YAML");
    yaml_mark_t mark = p->error == YAML_READER_ERROR ? p->mark : p->problem_mark;
    return fail_at(mark, p->problem ? p->problem : "no YAML");
}

/* Its place, and room for it. */
static tn_manifest_node *add_node(reader *r, const yaml_event_t *event, tn_manifest_kind kind) {
    tn_manifest_node *node = tn_manifest_new(r->region, kind, NULL);
    if (!node) return NULL;
    node->line = (int)event->start_mark.line + 1;
    node->column = (int)event->start_mark.column + 1;
    return node;
}

static tn_status read_scalar(reader *r, const yaml_event_t *event, tn_manifest_node **out) {
    const char *text = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    if (event->data.scalar.anchor) return fail_at(event->start_mark, "anchors are not allowed");
    if (event->data.scalar.tag) return fail_at(event->start_mark, "tags are not allowed");
    if (size > TN_MANIFEST_TEXT_BYTES) return fail_at(event->start_mark, "a text of more than 64 KiB");
    if (memchr(text, 0, size)) return fail_at(event->start_mark, "a text with a zero byte");
    tn_manifest_node *node = add_node(r, event, TN_MANIFEST_TEXT);
    if (node) node->text = tn_region_strndup(r->region, text, size);
    if (!node || !node->text) return TN_E_MEMORY;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    *out = node;
    return TN_OK;
}

static tn_status read_value(reader *r, yaml_event_t *event, int depth, tn_manifest_node **out);

/* The entries of a list or map, whose beginning was read. */
static tn_status read_entries(reader *r, tn_manifest_node *parent, yaml_event_type_t end, int depth) {
    for (;;) {
        yaml_event_t event;
        tn_manifest_node *key = NULL, *value = NULL;
        TN_TRY(next(r, &event));
        if (event.type == end) {
            yaml_event_delete(&event);
            return TN_OK;
        }
        tn_status status = TN_OK;
        if (parent->kind == TN_MANIFEST_MAP) {
            status = event.type == YAML_SCALAR_EVENT ? read_scalar(r, &event, &key)
                                                     : fail_at(event.start_mark, "a key must be a text");
            if (status == TN_OK && tn_manifest_child(parent, key->text))
                status = tn_fail(TN_E_FORMAT, "line %d, column %d: the key '%.80s' stands twice", key->line,
                                 key->column, key->text);
            yaml_event_delete(&event);
            if (status != TN_OK) return status;
            TN_TRY(next(r, &event));
        }
        status = read_value(r, &event, depth, &value);
        yaml_event_delete(&event);
        if (status != TN_OK) return status;
        if (key) value->line = key->line, value->column = key->column;
        tn_manifest_append(parent, key ? key->text : NULL, value);
    }
}

static tn_status read_value(reader *r, yaml_event_t *event, int depth, tn_manifest_node **out) {
    bool list = event->type == YAML_SEQUENCE_START_EVENT;
    if (++r->nodes > TN_MANIFEST_NODES) return fail_at(event->start_mark, "more than 65536 values");
    if (event->type == YAML_ALIAS_EVENT) return fail_at(event->start_mark, "aliases are not allowed");
    if (event->type == YAML_SCALAR_EVENT) return read_scalar(r, event, out);
    if (!list && event->type != YAML_MAPPING_START_EVENT) return fail_at(event->start_mark, "a value was expected");
    if (depth == TN_MANIFEST_DEPTH) return fail_at(event->start_mark, "more than 16 levels");
    if (list ? event->data.sequence_start.anchor != NULL : event->data.mapping_start.anchor != NULL)
        return fail_at(event->start_mark, "anchors are not allowed");
    if (list ? event->data.sequence_start.tag != NULL : event->data.mapping_start.tag != NULL)
        return fail_at(event->start_mark, "tags are not allowed");
    *out = add_node(r, event, list ? TN_MANIFEST_LIST : TN_MANIFEST_MAP);
    if (!*out) return TN_E_MEMORY;
    return read_entries(r, *out, list ? YAML_SEQUENCE_END_EVENT : YAML_MAPPING_END_EVENT, depth + 1);
}

/* An event that must be of that type, without its contents. */
static tn_status expect(reader *r, yaml_event_type_t type, const char *what) {
    yaml_event_t event;
    TN_TRY(next(r, &event));
    tn_status status = event.type == type ? TN_OK : fail_at(event.start_mark, what);
    yaml_event_delete(&event);
    return status;
}

static tn_status read_document(reader *r, tn_manifest_node **out) {
    yaml_event_t event;
    TN_TRY(expect(r, YAML_STREAM_START_EVENT, "no YAML"));
    TN_TRY(expect(r, YAML_DOCUMENT_START_EVENT, "it is empty"));
    TN_TRY(next(r, &event));
    tn_status status = event.type == YAML_MAPPING_START_EVENT ? read_value(r, &event, 0, out)
                                                              : fail_at(event.start_mark, "a map was expected");
    yaml_event_delete(&event);
    if (status == TN_OK) status = expect(r, YAML_DOCUMENT_END_EVENT, "the end was expected");
    return status == TN_OK ? expect(r, YAML_STREAM_END_EVENT, "more than one document") : status;
}

tn_status tn_manifest_read_yaml(tn_string text, tn_region *region, tn_manifest_node **out) {
    reader r = {.region = region};
    if (!yaml_parser_initialize(&r.parser)) return tn_fail(TN_E_MEMORY, "no memory to read the manifest");
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.data, text.size);
    tn_status status = read_document(&r, out);
    yaml_parser_delete(&r.parser);
    return status;
}
#else
tn_status tn_manifest_read_yaml(tn_string text, tn_region *region, tn_manifest_node **out) {
    (void)text;
    (void)region;
    (void)out;
    return tn_fail(TN_E_UNSUPPORTED, "this build has no libyaml (WITH_YAML=0) and reads no manifests");
}
#endif
