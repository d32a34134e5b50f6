/* tenon store trust, promote, channel: who may say which version runs, and what they say. */
#include "store.h"
#include <stdlib.h>
#include <string.h>

static const char *const clocks[] = {"enforce", "floor", "counter-only"};

static bool read_clock(const settings *s, tn_trust_clock *out) {
    *out = TN_TRUST_ENFORCE;
    for (size_t i = 0; s->clock && i < sizeof clocks / sizeof *clocks; i++)
        if (strcmp(s->clock, clocks[i]) == 0) {
            *out = (tn_trust_clock)i;
            return true;
        }
    if (s->clock) complain("--clock wants enforce, floor or counter-only, not '%s'", s->clock);
    return !s->clock;
}

static void show_role(const call *c, const char *name, int64_t version, const char *expires) {
    if (!c->j) {
        if (version)
            printf("%-10s version %lld, until %s\n", name, (long long)version, expires);
        else
            printf("%-10s none\n", name);
        return;
    }
    emit_object(c->j, name);
    emit_int(c->j, "version", version);
    emit_text(c->j, "expires", version ? expires : NULL);
    emit_end(c->j);
}

static tn_status show(call *c) {
    tn_trust_state t = {.struct_size = sizeof t};
    tn_status status = tn_trust_info(c->store, &t);
    if (status != TN_OK) return status;
    show_role(c, "root", t.root, t.root_expires);
    show_role(c, "targets", t.targets, t.targets_expires);
    show_role(c, "snapshot", t.snapshot, t.snapshot_expires);
    show_role(c, "timestamp", t.timestamp, t.timestamp_expires);
    if (c->j)
        emit_text(c->j, "clock", clocks[t.clock]);
    else
        printf("%-10s %s\n", "clock", clocks[t.clock]);
    return TN_OK;
}

static tn_status init(call *c, tn_trust_clock clock) {
    tn_trust_options o = {.struct_size = sizeof o, .clock = clock};
    return tn_trust_init(c->store, c->second, &o);
}
static tn_status accept_root(call *c, tn_trust_clock clock) {
    return tn_trust_accept(c->store, c->second, clock);
}
static tn_status update(call *c, tn_trust_clock clock) {
    (void)clock;
    return strstr(c->second, "://") ? fetch_trust(c) : tn_trust_update(c->store, c->second);
}
static tn_status sign(call *c, tn_trust_clock clock) {
    (void)clock;
    return tn_trust_sign(c->store, c->second);
}
static tn_status rotate(call *c, tn_trust_clock clock) {
    (void)clock;
    return tn_trust_rotate(c->store, c->second, c->third);
}
static tn_status set_clock(call *c, tn_trust_clock clock) {
    (void)clock;
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++)
        if (strcmp(c->second, clocks[i]) == 0) return tn_trust_set_clock(c->store, (tn_trust_clock)i);
    complain("the clock is enforce, floor or counter-only, not '%s'", c->second);
    return TN_E_INVALID;
}

static const struct action {
    const char *name, *wants;
    bool two; /* words behind it, not one */
    tn_status (*run)(call *c, tn_trust_clock clock);
} actions[] = {
    {"init", "KEYS", false, init},         {"accept", "ROOT.json", false, accept_root},
    {"update", "MIRROR", false, update},   {"sign", "KEYS", false, sign},
    {"rotate", "ROLE KEYS", true, rotate}, {"clock", "enforce|floor|counter-only", false, set_clock},
};

tn_status trust(call *c) {
    tn_trust_clock clock;
    if (!c->first) return show(c);
    for (const struct action *a = actions; a < actions + sizeof actions / sizeof *actions; a++) {
        if (strcmp(a->name, c->first) != 0) continue;
        if (!c->second || a->two != (c->third != NULL)) {
            complain("usage: tenon store trust FOLDER %s %s", a->name, a->wants);
            return TN_E_INVALID;
        }
        if (!read_clock(c->s, &clock)) return TN_E_INVALID;
        tn_status status = a->run(c, clock);
        return status == TN_OK ? show(c) : status;
    }
    complain("tenon store trust does not '%s'; tenon store --help lists what it does", c->first);
    return TN_E_INVALID;
}

static void show_channel(const call *c, const tn_store_channel_info *i) {
    if (!c->j) {
        printf("%s@%-10s  %-10s  counter %lld  %s\n", i->name, i->channel, i->version[0] ? i->version : "?",
               (long long)i->counter, i->digest);
        return;
    }
    emit_text(c->j, "name", i->name);
    emit_text(c->j, "channel", i->channel);
    emit_text(c->j, "version", i->version[0] ? i->version : NULL);
    emit_int(c->j, "counter", i->counter);
    emit_text(c->j, "digest", i->digest);
}

static void show_row(void *context, const tn_gate_row *row) {
    const call *c = context;
    if (!c->j) {
        printf("%-6s  %s: expected %s, found %s\n", row->passed ? "passes" : "FAILS", row->bound, row->expected,
               row->found);
        return;
    }
    emit_object(c->j, NULL);
    emit_text(c->j, "bound", row->bound);
    emit_bool(c->j, "passed", row->passed);
    emit_text(c->j, "expected", row->expected);
    emit_text(c->j, "found", row->found);
    emit_end(c->j);
}

/* With keys: promotes as well. */
static tn_status pass_gate(call *c, const char *keys) {
    void *text;
    size_t size;
    if (!c->s->gate || !file_read(c->s->gate, &text, &size)) {
        complain("which gate? --gate FILE");
        return TN_E_INVALID;
    }
    if (c->j) emit_array(c->j, "gate");
    tn_status status = keys ? tn_store_promote_through(c->store, c->first, c->second, keys, text, size, show_row, c)
                            : tn_store_gate(c->store, c->first, c->second, text, size, show_row, c);
    if (c->j) emit_end(c->j);
    free(text);
    return status;
}

tn_status gate(call *c) {
    return pass_gate(c, NULL);
}

tn_status promote(call *c) {
    tn_store_channel_info i;
    char name[TN_STORE_NAME];
    tn_status status = c->s->gate ? pass_gate(c, c->third) : tn_store_promote(c->store, c->first, c->second, c->third);
    if (status != TN_OK) return status;
    tn_store_version v;
    status = tn_store_find(c->store, c->first, &v);
    snprintf(name, sizeof name, "%s", v.name);
    if (status == TN_OK) status = tn_store_channel(c->store, name, c->second, &i);
    if (status != TN_OK) return status;
    show_channel(c, &i);
    char text[sizeof i.name + sizeof i.channel];
    snprintf(text, sizeof text, "%s@%s", i.name, i.channel);
    announce(c, text);
    return TN_OK;
}

tn_status channel(call *c) {
    tn_store_channel_info i;
    tn_status status;
    if (c->first) {
        char name[2 * TN_STORE_NAME];
        snprintf(name, sizeof name, "%s", c->first);
        char *at = strchr(name, '@');
        if (at) *at = 0;
        status = tn_store_channel(c->store, name, at ? at + 1 : "", &i);
        if (status == TN_OK) show_channel(c, &i);
        return status;
    }
    if (c->j) emit_array(c->j, "channels");
    for (int n = 0; (status = tn_store_channel_at(c->store, n, &i)) == TN_OK; n++) {
        if (c->j) emit_object(c->j, NULL);
        show_channel(c, &i);
        if (c->j) emit_end(c->j);
    }
    if (c->j) emit_end(c->j);
    return status == TN_E_NOT_FOUND ? TN_OK : status;
}
