/* What a model's file has that no model needs, for check and eval --security. */
#include <stdlib.h>
#include <string.h>
#include <tenon/risk.h>
#include "tool.h"

static char *copy(const char *text) {
    return strcpy(tool_alloc(strlen(text) + 1, 1), text);
}

static void on_finding(void *context, const char *where, const char *what) {
    findings *f = context;
    if (f->count == MOST_FINDINGS) return;
    f->items[f->count++] = (finding){copy(where), copy(what)};
}

void findings_scan(findings *f, const char *path) {
    f->items = tool_alloc(MOST_FINDINGS, sizeof *f->items);
    tn_scan(path, on_finding, f, NULL); /* who loads the file says why it cannot be */
}

void findings_print(const findings *f) {
    for (int i = 0; i < f->count; i++) printf("found in %s: %s\n", f->items[i].where, f->items[i].what);
}

void findings_emit(const findings *f, json *j) {
    emit_array(j, "findings");
    for (int i = 0; i < f->count; i++) {
        emit_object(j, NULL);
        emit_text(j, "where", f->items[i].where);
        emit_text(j, "what", f->items[i].what);
        emit_end(j);
    }
    emit_end(j);
}

void findings_free(findings *f) {
    for (int i = 0; i < f->count; i++) {
        free(f->items[i].where);
        free(f->items[i].what);
    }
    free(f->items);
}
