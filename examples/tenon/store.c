/* tenon store: versions of models in a folder. */
#include "store.h"
#include <string.h>

void show_version(const call *c, const tn_store_version *v) {
    if (!c->j) {
        printf("%s:%-12s  %s  %12llu bytes  %s\n", v->name, v->version, v->created, (unsigned long long)v->file_bytes,
               v->digest);
        return;
    }
    emit_text(c->j, "name", v->name);
    emit_text(c->j, "version", v->version);
    emit_text(c->j, "created", v->created);
    emit_text(c->j, "digest", v->digest);
    emit_text(c->j, "parent", v->parent[0] ? v->parent : NULL);
    emit_text(c->j, "file_digest", v->file_digest);
    emit_int(c->j, "file_bytes", (int64_t)v->file_bytes);
}

static tn_status create(call *c) {
    tn_status status = tn_store_create(c->folder);
    if (status == TN_OK && !c->j) printf("%s is a store\n", c->folder);
    return status;
}

/* "press:1.2.0" is a name and a version. */
static tn_status put(call *c) {
    char name[2 * TN_STORE_NAME];
    tn_store_version v;
    snprintf(name, sizeof name, "%s", c->second);
    char *colon = strchr(name, ':');
    if (colon) *colon = 0;
    tn_store_put_options o = {.struct_size = sizeof o,
                              .name = name,
                              .version = colon ? colon + 1 : "",
                              .parent = c->s->parent,
                              .licence = c->s->licence,
                              .description = c->s->description};
    tn_status status = tn_store_put(c->store, c->first, &o, &v);
    if (status == TN_OK) show_version(c, &v);
    return status;
}

static tn_status get(call *c) {
    tn_status status = tn_store_get(c->store, c->first, c->second);
    if (status == TN_OK && !c->j) printf("%s is %s\n", c->second, c->first);
    return status;
}

static tn_status find(call *c) {
    tn_store_version v;
    tn_status status = tn_store_find(c->store, c->first, &v);
    if (status == TN_OK) show_version(c, &v);
    return status;
}

static tn_status list(call *c) {
    tn_store_version v;
    tn_status status;
    if (c->j) emit_array(c->j, "versions");
    for (int i = 0; (status = tn_store_at(c->store, i, &v)) == TN_OK; i++) {
        if (c->j) emit_object(c->j, NULL);
        show_version(c, &v);
        if (c->j) emit_end(c->j);
    }
    if (c->j) emit_end(c->j);
    return status == TN_E_NOT_FOUND ? TN_OK : status;
}

static tn_status take_out(call *c) {
    tn_status status = tn_store_remove(c->store, c->first);
    if (status == TN_OK && !c->j) printf("%s is no version any more; tenon store collect frees its space\n", c->first);
    return status;
}

static tn_status collect(call *c) {
    uint64_t bytes;
    tn_status status = tn_store_collect(c->store, &bytes);
    if (status != TN_OK) return status;
    if (c->j)
        emit_int(c->j, "freed_bytes", (int64_t)bytes);
    else
        printf("%llu bytes freed\n", (unsigned long long)bytes);
    return TN_OK;
}

static void show_fault(void *context, const char *sentence) {
    call *c = context;
    if (c->j)
        emit_text(c->j, NULL, sentence);
    else
        complain("%s", sentence);
}

static tn_status verify(call *c) {
    int faults;
    if (c->j) emit_array(c->j, "faults");
    tn_status status = tn_store_verify(c->store, show_fault, c, &faults);
    if (c->j) emit_end(c->j);
    if (status == TN_OK && faults) return TN_E_FORMAT;
    if (status == TN_OK && !c->j) printf("%s is whole\n", c->folder);
    return status;
}

static tn_status repair(call *c) {
    int mended = 0;
    tn_status status = tn_store_repair(c->folder, c->first, &mended);
    if (c->j)
        emit_int(c->j, "mended", mended);
    else
        printf("%d damaged files mended\n", mended);
    return status;
}

static tn_status audit(call *c) {
    tn_store_event e;
    tn_status status;
    if (c->j) emit_array(c->j, "events");
    for (int i = 0; (status = tn_store_audit(c->store, i, &e)) == TN_OK; i++) {
        if (!c->j) {
            printf("%6llu  %s  %-8s  %s%s%s  %s\n", (unsigned long long)e.number, e.time, e.action, e.name,
                   e.name[0] ? ":" : "", e.version, e.user);
            continue;
        }
        emit_object(c->j, NULL);
        emit_int(c->j, "number", (int64_t)e.number);
        emit_text(c->j, "time", e.time);
        emit_text(c->j, "action", e.action);
        emit_text(c->j, "name", e.name[0] ? e.name : NULL);
        emit_text(c->j, "version", e.version[0] ? e.version : NULL);
        emit_text(c->j, "digest", e.digest[0] ? e.digest : NULL);
        emit_text(c->j, "user", e.user);
        emit_end(c->j);
    }
    if (c->j) emit_end(c->j);
    return status == TN_E_NOT_FOUND ? TN_OK : status;
}

static const struct verb {
    const char *name;
    size_t least, most; /* operands behind the folder */
    bool opens;
    tn_status (*run)(call *c);
} verbs[] = {
    {"create", 0, 0, false, create},  {"put", 2, 2, true, put},         {"get", 2, 2, true, get},
    {"find", 1, 1, true, find},       {"list", 0, 0, true, list},       {"remove", 1, 1, true, take_out},
    {"log", 0, 0, true, audit},       {"collect", 0, 0, true, collect}, {"verify", 0, 0, true, verify},
    {"repair", 0, 1, false, repair},  {"trust", 0, 3, true, trust},     {"promote", 3, 3, true, promote},
    {"channel", 0, 1, true, channel}, {"gate", 2, 2, true, gate},       {"backup", 1, 1, true, backup},
    {"upgrade", 1, 1, true, upgrade}, {"diff", 2, 2, true, diff},       {"restore", 1, 1000, false, restore},
    {"push", 2, 2, true, push},       {"pull", 1, 1, true, pull},       {"follow", 3, 3, true, follow},
    {"delta", 2, 2, true, put_delta}, {"fetch", 2, 2, true, fetch},
};

static int run_verb(const struct verb *verb, call *c) {
    json j = json_open(stdout);
    tn_status status = verb->opens ? tn_store_open(c->folder, &c->store) : TN_OK;
    const char *sentence = "";
    if (c->s->json) {
        c->j = &j;
        emit_object(&j, NULL);
        emit_text(&j, "store", c->folder);
    }
    if (status == TN_OK) {
        status = verb->run(c);
        if (verb->run == verify && status == TN_E_FORMAT) sentence = NULL; /* each fault was told */
    }
    if (c->j) {
        emit_text(c->j, "error", status == TN_OK || !sentence ? NULL : tn_last_error());
        emit_end(c->j);
    } else if (status != TN_OK && sentence) {
        complain_status(c->folder, status);
    }
    tn_store_close(c->store);
    return status == TN_OK ? EXIT_OK : status == TN_E_CHECK ? EXIT_REFUSED : EXIT_FAILED;
}

int store_command(const settings *s) {
    const words *o = &s->operands;
    const struct verb *verb = verbs, *end = verbs + sizeof verbs / sizeof *verbs;
    while (verb < end && strcmp(verb->name, o->items[0]) != 0) verb++;
    if (verb == end) {
        complain("tenon store has no '%s'; tenon store --help lists what it does", o->items[0]);
        return EXIT_USAGE;
    }
    if (o->count < 2 + verb->least || o->count > 2 + verb->most) {
        complain("tenon store %s takes %zu words behind it, not %zu; see tenon store --help", verb->name,
                 1 + (o->count < 2 + verb->least ? verb->least : verb->most), o->count - 1);
        return EXIT_USAGE;
    }
    call c = {s,
              o->items[1],
              o->count > 2 ? o->items[2] : NULL,
              o->count > 3 ? o->items[3] : NULL,
              o->count > 4 ? o->items[4] : NULL,
              NULL,
              NULL};
    return run_verb(verb, &c);
}
