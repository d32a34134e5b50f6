/* Options of MQTT, checked and copied. */
#include "mqtt/mqtt.h"
#include <stdlib.h>

int64_t tn_mqtt_now(void) {
    return (int64_t)(tn_now() / 1000000);
}

static tn_status refuse_url(const char *url) {
    if (strchr(url, '@')) return tn_fail(TN_E_INVALID, "credentials belong into options.user, not into a broker's URL");
    return tn_fail(TN_E_INVALID, "'%.200s' is no broker; expected such as mqtts://broker.example.com:8883", url);
}

/* ":PORT", or nothing. */
static bool read_port(const char *text, int *port) {
    char *end;
    if (!*text) return true;
    if (text[0] != ':' || text[1] < '0' || text[1] > '9') return false;
    long value = strtol(text + 1, &end, 10);
    *port = (int)value;
    return !*end && value > 0 && value < 65536;
}

static tn_status read_url(const char *url, tn_broker *b) {
    size_t length;
    b->tls = strncmp(url, "mqtts://", 8) == 0;
    b->port = b->tls ? 8883 : 1883;
    if (!b->tls && strncmp(url, "mqtt://", 7) != 0) return refuse_url(url);
    const char *host = url + (b->tls ? 8 : 7);
    if (host[0] == '[') {
        length = strcspn(++host, "]");
        if (host[length] != ']' || strspn(host, "0123456789abcdefABCDEF:.") != length) return refuse_url(url);
    } else {
        length = strspn(host, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_");
    }
    if (!length || length >= sizeof b->host) return refuse_url(url);
    memcpy(b->host, host, length);
    b->host[length] = 0;
    return read_port(host + length + (host[length] == ']'), &b->port) ? TN_OK : refuse_url(url);
}

static tn_status read_user(const char *user, tn_broker *b) {
    const char *colon = strchr(user, ':');
    if (!colon || colon == user) return tn_fail(TN_E_INVALID, "credentials are NAME:PASSWORD");
    if (!b->tls && !tn_host_is_here(strstr(b->url, "://") + 3))
        return tn_fail(TN_E_INVALID, "a password is not sent to '%s' for all to read; use mqtts://", b->host);
    b->name = tn_region_strndup(b->region, user, (size_t)(colon - user));
    b->password = tn_region_strdup(b->region, colon + 1);
    return b->name && b->password ? TN_OK : TN_E_MEMORY;
}

static bool copy(tn_region *r, const char *text, const char **out) {
    *out = text ? tn_region_strdup(r, text) : NULL;
    return !text || *out;
}

tn_status tn_broker_open(const tn_mqtt_options *options, tn_broker *b) {
    tn_mqtt_options o = {0};
    *b = (tn_broker){0};
    if (!options->struct_size) return tn_fail(TN_E_INVALID, "set struct_size of the options first");
    memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    if (!o.broker || !o.topic || !*o.topic) return tn_fail(TN_E_INVALID, "MQTT needs a broker and a topic");
    if (!o.certificate_file != !o.key_file)
        return tn_fail(TN_E_INVALID, "a certificate and its key are given together");
    TN_TRY(read_url(o.broker, b));
    if (!b->tls && (o.ca_file || o.certificate_file))
        return tn_fail(TN_E_INVALID, "certificates are of TLS: mqtts://, not '%s'", o.broker);
    b->spread_ms = o.spread_ms > 0 ? o.spread_ms : 1000;
    b->wait_ms = o.wait_ms > 0 ? TN_MIN(o.wait_ms, 1 << 24) : 1000;
    b->region = tn_region_create(NULL);
    if (!b->region || !copy(b->region, o.broker, &b->url) || !copy(b->region, o.topic, &b->topic) ||
        !copy(b->region, o.ca_file, &b->ca_file) || !copy(b->region, o.certificate_file, &b->certificate_file) ||
        !copy(b->region, o.key_file, &b->key_file))
        return TN_E_MEMORY;
    return o.user ? read_user(o.user, b) : TN_OK;
}

void tn_broker_close(tn_broker *b) {
    if (b->password) explicit_bzero(b->password, strlen(b->password));
    tn_region_destroy(b->region);
    b->region = NULL;
}
