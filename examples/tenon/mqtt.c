/* Announcements by MQTT: promote and push make them, follow is woken by them. */
#include "store.h"
#include <string.h>
#include <time.h>

/* False, and it was told, if they make no sense. */
static bool read_options(const call *c, char *user, size_t size, tn_mqtt_options *o) {
    const settings *s = c->s;
    const user_source from = {"--mqtt-user", s->mqtt_user, "TENON_MQTT_USER", "TENON_MQTT_PASSWORD"};
    *o = (tn_mqtt_options){.struct_size = sizeof *o,
                           .broker = s->mqtt,
                           .topic = s->topic,
                           .ca_file = s->mqtt_ca,
                           .certificate_file = s->mqtt_certificate,
                           .key_file = s->mqtt_key};
    if (!s->topic) complain("--mqtt wants a --topic");
    return s->topic && read_user(&from, user, size, &o->user);
}

void announce(const call *c, const char *text) {
    char user[1024];
    tn_mqtt_options o;
    if (!c->s->mqtt) return;
    bool told = read_options(c, user, sizeof user, &o);
    if (told && tn_mqtt_announce(&o, text) != TN_OK)
        told = complain_status("it is published, but not announced", TN_OK);
    if (c->j) emit_bool(c->j, "announced", told);
    memset(user, 0, sizeof user);
}

/* What keeps it from listening is told when it is another thing than before. */
static void wait_for_news(tn_listener *l, double seconds) {
    static char told[512];
    const int most = 24 * 86400; /* in milliseconds still an int */
    bool deaf = tn_listener_wait(l, 1000 * (seconds < most ? (int)seconds : most), NULL) != TN_OK;
    const char *why = deaf ? tn_last_error() : "";
    if (deaf && strncmp(told, why, sizeof told - 1) != 0) complain("only looks every %.0f s: %s", seconds, why);
    snprintf(told, sizeof told, "%s", why);
}

/* Until the times of --window; 0: it is time, or there are none. */
static tn_status seconds_to_window(const settings *s, double *out_seconds) {
    const int64_t now = (int64_t)time(NULL);
    int64_t opens = now;
    bool open;
    tn_status status = tn_window_look(s->window, now, &open, &opens);
    *out_seconds = (double)(opens - now);
    return status;
}

tn_status stay(call *c, tn_status (*look)(call *c, const tn_registry_options *o), const tn_registry_options *o) {
    char user[1024];
    tn_mqtt_options mqtt;
    tn_listener *l;
    if (c->j) {
        complain("follow goes on without an end; --json is for one look");
        return TN_E_INVALID;
    }
    if (c->s->mqtt && !read_options(c, user, sizeof user, &mqtt)) return TN_E_INVALID;
    tn_status status = tn_listener_open(c->s->mqtt ? &mqtt : NULL, &l);
    memset(user, 0, sizeof user);
    if (status != TN_OK) return status;
    for (;;) {
        double seconds;
        if ((status = seconds_to_window(c->s, &seconds)) != TN_OK) break;
        if (seconds == 0) {
            status = look(c, o);
            if (status == TN_E_INVALID || status == TN_E_UNSUPPORTED) break;
            if (status != TN_OK) complain_status(c->first, status);
            fflush(stdout);
            seconds = c->s->every > 0 ? c->s->every : 3600;
        }
        wait_for_news(l, seconds);
    }
    tn_listener_close(l);
    return status;
}
