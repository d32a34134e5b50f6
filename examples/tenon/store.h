/* tenon store: what the files of its verbs share. */
#ifndef TENON_TOOL_STORE_H
#define TENON_TOOL_STORE_H

#include "tool.h"

typedef struct call {
    const settings *s;
    const char *folder, *first, *second, *third; /* operands behind the verb; NULL where there are none */
    tn_store *store;                             /* open, but for create and repair */
    json *j;                                     /* an open object, or NULL for text */
} call;

/* store.c */
void show_version(const call *c, const tn_store_version *v);

/* backup.c: verbs */
tn_status backup(call *c);
tn_status restore(call *c);
tn_status upgrade(call *c);
tn_status diff(call *c);

/* registry.c: verbs */
tn_status push(call *c);
tn_status pull(call *c);
tn_status follow(call *c);
tn_status fetch_trust(call *c); /* an update from a URL */

/* Credentials: as an option gave them (NULL: not), or the environment does. *out_user may point into `text`, and is NULL if
 * there are none. */
typedef struct user_source {
    const char *option, *given, *variable, *password_variable;
} user_source;
bool read_user(const user_source *from, char *text, size_t size, const char **out_user);

/* mqtt.c: with --mqtt; without, announce does nothing. That nobody heard of it is told, and is no failure: what was
 * published is. */
void announce(const call *c, const char *text);
/* Follows a channel until it is killed: `look` is called at first, after each message, and --every so many seconds, in --window
 * alone. */
tn_status stay(call *c, tn_status (*look)(call *c, const tn_registry_options *o), const tn_registry_options *o);

/* delta.c: verbs */
tn_status put_delta(call *c);
tn_status fetch(call *c);

/* trust.c: verbs */
tn_status trust(call *c);
tn_status promote(call *c);
tn_status gate(call *c); /* looks at a gate, and promotes nothing */
tn_status channel(call *c);

#endif
