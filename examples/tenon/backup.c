/* tenon store backup, restore, upgrade, diff. */
#include "store.h"

tn_status backup(call *c) {
    tn_store_backup_options o = {.struct_size = sizeof o, .since = c->s->since, .compress = c->s->compress};
    tn_backup_state b = {.struct_size = sizeof b};
    progress(c->s, "backing up %s", c->folder);
    tn_status status = tn_store_backup(c->store, c->first, &o, &b);
    progress(c->s, NULL);
    if (status != TN_OK) return status;
    if (!c->j) {
        printf("%s: number %d of its chain, %d parts, %d of them blobs, %llu bytes\n", c->first, b.number + 1, b.parts,
               b.blobs, (unsigned long long)b.bytes);
        return TN_OK;
    }
    emit_text(c->j, "file", c->first);
    emit_int(c->j, "number", b.number);
    emit_text(c->j, "digest", b.digest);
    emit_text(c->j, "previous", b.previous[0] ? b.previous : NULL);
    emit_text(c->j, "created", b.created);
    emit_int(c->j, "parts", b.parts);
    emit_int(c->j, "blobs", b.blobs);
    emit_int(c->j, "bytes", (int64_t)b.bytes);
    return TN_OK;
}

tn_status restore(call *c) {
    const words *o = &c->s->operands;
    tn_restore_result r = {.struct_size = sizeof r};
    progress(c->s, "restoring %s", c->folder);
    tn_status status = tn_store_restore(c->folder, o->items + 2, o->count - 2, &r);
    progress(c->s, NULL);
    if (status != TN_OK) return status;
    if (!c->j) {
        printf("%s has %d versions; %d blobs came back; what is trusted %s\n", c->folder, r.versions, r.blobs,
               r.trust ? "came from the backup: update it" : "stays as it was");
        return TN_OK;
    }
    emit_int(c->j, "versions", r.versions);
    emit_int(c->j, "blobs", r.blobs);
    emit_bool(c->j, "trust", r.trust);
    return TN_OK;
}

tn_status upgrade(call *c) {
    tn_upgrade_options o = {.struct_size = sizeof o,
                            .parameters = c->s->parameters,
                            .structure = c->s->structure,
                            .module = c->s->module,
                            .version = c->s->version,
                            .backup = c->s->backup};
    tn_upgrade_result r = {.struct_size = sizeof r};
    tn_status status = tn_upgrade(c->store, c->first, &o, &r);
    if (status != TN_OK) return status;
    show_version(c, &r.after);
    if (!c->j) {
        printf("made of %s: %d weights carried over, %d of the file's own, %d nodes added and %d gone, %d cases in its "
               "self-test\n",
               r.before.version, r.carried, r.own, r.nodes_added, r.nodes_gone, r.test_cases);
        return TN_OK;
    }
    emit_text(c->j, "made_of", r.before.version);
    emit_int(c->j, "carried", r.carried);
    emit_int(c->j, "own", r.own);
    emit_int(c->j, "nodes_added", r.nodes_added);
    emit_int(c->j, "nodes_gone", r.nodes_gone);
    emit_int(c->j, "test_cases", r.test_cases);
    return TN_OK;
}

static void show_difference(void *context, const tn_diff_row *row) {
    const call *c = context;
    if (!c->j) {
        printf("%-9s  %s: %s -> %s\n", row->what, row->name, row->before ? row->before : "none",
               row->after ? row->after : "none");
        return;
    }
    emit_object(c->j, NULL);
    emit_text(c->j, "what", row->what);
    emit_text(c->j, "name", row->name);
    emit_text(c->j, "before", row->before);
    emit_text(c->j, "after", row->after);
    emit_end(c->j);
}

tn_status diff(call *c) {
    int count = 0;
    if (c->j) emit_array(c->j, "differences");
    tn_status status = tn_store_diff(c->store, c->first, c->second, show_difference, c, &count);
    if (c->j) emit_end(c->j);
    if (status == TN_OK && !count && !c->j) printf("no difference in structure, parameters or metrics\n");
    return status;
}
