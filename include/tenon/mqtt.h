/* Being woken by MQTT: who publishes a model announces it, and machines that follow it look at once, not at their next poll.
 *
 *     // where models are published
 *     tn_mqtt_options o = {.struct_size = sizeof o, .broker = "mqtts://broker.example.com", .topic = "models/press"};
 *     tn_mqtt_announce(&o, "press@stable");
 *     // where they run
 *     tn_listener *l;
 *     tn_listener_open(&o, &l);
 *     for (;;) {
 *         tn_listener_wait(l, 3600000, NULL);   // an hour, or until something is announced
 *         tn_store_follow(edge, "press@stable", trust, repository, NULL, NULL);
 *     }
 *
 * A message only wakes. What is in it is not looked at, and nothing of a broker is trusted: who can publish on the topic, or
 * keep messages back, can make machines look sooner or at their next poll, and no more. What they then find is checked as
 * ever (tenon/trust.h, tenon/registry.h).
 *
 * Polling does not hang on it. Without libmosquitto, or as long as the broker cannot be reached, a wait is a wait of the time
 * that it was given, and says why. A listener connects in a thread of its own, and again after a failure, with waits that
 * double, up to 64 times the first, and are random within that. Each time that it begins to listen counts as a message:
 * what was announced before may not have been heard.
 *
 * A thousand machines that hear the same message should not ask a server in the same instant: a wait ends a random time
 * after the message, between half of options.spread_ms and all of it, and messages in that time are one. So nobody can make
 * a machine poll faster than that either.
 *
 * Brokers are "mqtts://HOST[:PORT]" (TLS, port 8883; the server's certificate is checked) or "mqtt://HOST[:PORT]" (1883).
 * The protocol is MQTT 3.1.1, with quality of service 1 and no retained messages; what a broker may send at once is limited
 * by libmosquitto alone: to 256 MiB.
 *
 * Thread-safety: everything may be called by many threads at once, but for close, which comes last. Needs libmosquitto.so.1
 * where it runs, which is loaded by the first call; a library built without it answers TN_E_UNSUPPORTED, waits included. */
#ifndef TENON_MQTT_H
#define TENON_MQTT_H

#include <stdbool.h>
#include <stddef.h>
#include <tenon/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All zero but struct_size, broker and topic is the default. All is copied. */
typedef struct tn_mqtt_options {
    size_t struct_size;
    const char *broker;
    const char *topic;            /* to listen to, also with the wildcards + and # */
    const char *user;             /* "NAME:PASSWORD"; NULL: anonymous. With mqtt:// to this machine alone */
    const char *ca_file;          /* certificates of authorities to trust instead of those in /etc/ssl/certs, as PEM */
    const char *certificate_file; /* the machine's own, as PEM, for brokers that ask for one. Both, or NULL */
    const char *key_file;         /* its key, as PEM, without a password */
    int spread_ms;                /* 0: 1000 */
    int wait_ms;                  /* before the second attempt to connect; 0: 1000 */
} tn_mqtt_options;

/* Publishes `text`, for people who look on, and returns when the broker has it. TN_E_IO if that takes more than 10 s. */
TN_API tn_status tn_mqtt_announce(const tn_mqtt_options *options, const char *text);

typedef struct tn_listener tn_listener;
/* Options NULL: nothing but tn_listener_wake wakes. Fails if the options make no sense or a file cannot be read, not for want
 * of the library or the broker. */
TN_API tn_status tn_listener_open(const tn_mqtt_options *options, tn_listener **out_listener);
/* Accepts NULL. Nobody may wait. Takes up to a second, or as long as the name of a broker is being looked up. */
TN_API void tn_listener_close(tn_listener *listener);
/* Waits until there is a message since the last wait ended, but no longer than so many milliseconds. Not TN_OK, when the wait
 * is over, while nothing can be heard: TN_E_UNSUPPORTED without libmosquitto, TN_E_IO without the broker, with its reason.
 * *out_woken may be NULL. */
TN_API tn_status tn_listener_wait(tn_listener *listener, int milliseconds, bool *out_woken);
/* Ends the wait that is under way, or else the next one, at once; such as when the program is to end. */
TN_API void tn_listener_wake(tn_listener *listener);

#ifdef __cplusplus
}
#endif
#endif
