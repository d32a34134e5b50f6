/* Time: texts such as 2026-03-01T12:00:00Z, which compare as texts. */
#include "trust/trust.h"
#include <stdio.h>

void tn_trust_now(const tn_store *s, char now[32]) {
    if (s->now[0])
        memcpy(now, s->now, 32);
    else
        tn_store_time_text(time(NULL), now);
}

void tn_trust_add_days(const char *from, int days, char to[32]) {
    struct tm parts = {0};
    if (sscanf(from, "%d-%d-%dT%d:%d:%d", &parts.tm_year, &parts.tm_mon, &parts.tm_mday, &parts.tm_hour, &parts.tm_min,
               &parts.tm_sec) != 6)
        parts.tm_mday = 1; /* cannot be: times are checked where they come in */
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    tn_store_time_text(timegm(&parts) + (time_t)days * 86400, to);
}

void tn_trusted_now(const tn_store *s, const tn_trusted *t, char now[32]) {
    tn_trust_now(s, now);
    for (int i = 0; i < TN_ROLES && t->clock == TN_TRUST_FLOOR; i++) {
        const char *signed_at = json_string_value(json_object_get(t->part[i].body, TN_TRUST_SIGNED));
        if (signed_at && tn_store_check_time(signed_at) == TN_OK && strcmp(signed_at, now) > 0)
            memcpy(now, signed_at, strlen(signed_at) + 1);
    }
}

tn_status tn_trusted_check_expiry(const tn_trusted *t, const tn_metadata *m, tn_role role, const char *now) {
    if (t->clock == TN_TRUST_COUNTER_ONLY || strcmp(now, m->expires) < 0) return TN_OK;
    return tn_fail(
        TN_E_STATE,
        "%s metadata of version %lld expired at %s, and it is %s; it wants to be signed anew (or, if it is the "
        "clock that is wrong, another policy: see tn_trust_clock)",
        tn_role_names[role], (long long)m->version, m->expires, now);
}

tn_status tn_trust_set_time(tn_store *s, const char *now) {
    if (!now) {
        s->now[0] = 0;
        return TN_OK;
    }
    TN_TRY(tn_store_check_time(now));
    memcpy(s->now, now, strlen(now) + 1);
    return TN_OK;
}
