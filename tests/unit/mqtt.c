/* MQTT: a message ends a wait, whatever is in it; without a broker, or with a bad one, a wait is a wait. The broker here says
 * what the test wants; tests/registry/mqtt.py has a real one. */
#include "unit.h"
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <tenon/mqtt.h>
#include <unistd.h>

typedef struct broker {
    int listening, port;
    unsigned char code, granted; /* answers to CONNECT and SUBSCRIBE */
    bool garbage;                /* instead of answers */
    atomic_int client, subscribed;
    char announced[64];
    pthread_t thread;
} broker;

static bool get(int s, void *data, size_t size) {
    return recv(s, data, size, MSG_WAITALL) == (ssize_t)size;
}

static void put(int s, const void *data, size_t size) {
    (void)!send(s, data, size, MSG_NOSIGNAL);
}

/* Packets of MQTT 3.1.1 that are shorter than 128 bytes: type, length, and the rest. */
static void serve(broker *b, int s) {
    unsigned char head[2], body[128], noise[64];
    while (get(s, head, 2) && head[1] < sizeof body && get(s, body, head[1])) {
        memset(noise, 0xf5, sizeof noise);
        if (b->garbage) {
            put(s, noise, sizeof noise);
        } else if (head[0] == 0x10) {
            put(s, (unsigned char[]){0x20, 2, 0, b->code}, 4);
        } else if (head[0] == 0x82) {
            put(s, (unsigned char[]){0x90, 3, body[0], body[1], b->granted}, 5);
            atomic_store(&b->subscribed, 1);
        } else if ((head[0] & 0xf6) == 0x32) {
            size_t topic = (size_t)body[0] << 8 | body[1], at = topic + 4;
            snprintf(b->announced, sizeof b->announced, "%.*s", (int)(head[1] - at), (const char *)body + at);
            put(s, (unsigned char[]){0x40, 2, body[topic + 2], body[topic + 3]}, 4);
        }
    }
}

static void *run(void *context) {
    broker *b = context;
    int s;
    while ((s = accept(b->listening, NULL, NULL)) >= 0) {
        atomic_store(&b->client, s);
        serve(b, s);
        atomic_store(&b->client, -1);
        atomic_store(&b->subscribed, 0);
        close(s);
    }
    return NULL;
}

/* Port 0: any that is free. */
static void start(broker *b, int port) {
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof a;
    b->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(b->listening, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    assert_int_equal(bind(b->listening, (struct sockaddr *)&a, size), 0);
    assert_int_equal(listen(b->listening, 8), 0);
    assert_int_equal(getsockname(b->listening, (struct sockaddr *)&a, &size), 0);
    b->port = ntohs(a.sin_port);
    atomic_store(&b->client, -1);
    assert_int_equal(pthread_create(&b->thread, NULL, run, b), 0);
}

static void stop(broker *b) {
    shutdown(b->listening, SHUT_RDWR);
    int s = atomic_load(&b->client);
    if (s >= 0) shutdown(s, SHUT_RDWR);
    pthread_join(b->thread, NULL);
    close(b->listening);
}

static char url[64];

static tn_mqtt_options options_of(const broker *b) {
    snprintf(url, sizeof url, "mqtt://127.0.0.1:%d", b->port);
    return (tn_mqtt_options){
        .struct_size = sizeof(tn_mqtt_options), .broker = url, .topic = "t", .spread_ms = 1, .wait_ms = 1};
}

/* Waits until the status is that one; false if that does not come. */
static bool comes_to(tn_listener *l, tn_status status) {
    for (int i = 0; i < 3000; i++) {
        if (tn_listener_wait(l, 10, NULL) == status) return true;
    }
    return false;
}

static void options_that_make_no_sense_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",           "broker",          "http://broker",    "mqtt://",      "mqtt://a b",
        "mqtt://a:0", "mqtt://a:65536",  "mqtt://a:1x",      "mqtt://[::1",  "mqtt://a/b",
        "mqtt://a:",  "mqtt://u:p@host", "mqtt://[::1]1883", "mqtt://[x]:1", "mqtts://:8883"};
    tn_listener *l;
    tn_mqtt_options o = {.struct_size = sizeof o, .topic = "t"};
    for (size_t i = 0; i < TN_COUNT(bad); i++) {
        o.broker = bad[i];
        assert_int_equal(tn_listener_open(&o, &l), TN_E_INVALID);
        assert_null(l);
    }
    o.broker = "mqtt://broker.example.com";
    o.user = "edge:sesame";
    assert_int_equal(tn_listener_open(&o, &l), TN_E_INVALID); /* not for all to read */
    assert_null(strstr(tn_last_error(), "sesame"));
    o.user = NULL;
    o.ca_file = "ca.pem";
    assert_int_equal(tn_listener_open(&o, &l), TN_E_INVALID);
    o.ca_file = NULL;
    o.topic = "";
    assert_int_equal(tn_listener_open(&o, &l), TN_E_INVALID);
}

static void without_a_broker_a_wait_is_a_wait(void **state) {
    (void)state;
    tn_listener *l;
    bool woken = true;
    broker b = {0};
    start(&b, 0);
    tn_mqtt_options o = options_of(&b);
    stop(&b);
    assert_ok(tn_listener_open(&o, &l));
    tn_status status = tn_listener_wait(l, 20, &woken);
    assert_true(status == TN_E_IO || status == TN_E_UNSUPPORTED);
    assert_false(woken);
    tn_listener_wake(l);
    tn_listener_wait(l, 60000, &woken);
    assert_true(woken);
    tn_listener_close(l);
    assert_ok(tn_listener_open(NULL, &l));
    assert_ok(tn_listener_wait(l, 1, &woken));
    assert_false(woken);
    tn_listener_close(l);
    tn_listener_close(NULL);
}

static void messages_end_waits(void **state) {
    (void)state;
    tn_listener *l;
    bool woken;
    broker b = {0};
    start(&b, 0);
    tn_mqtt_options o = options_of(&b);
    assert_ok(tn_listener_open(&o, &l));
    assert_ok(tn_listener_wait(l, 60000, &woken)); /* listening has begun */
    assert_true(woken);
    for (int i = 0; i < 3; i++) {
        assert_ok(tn_listener_wait(l, 1, &woken));
        assert_false(woken);
        put(atomic_load(&b.client), "\x30\x0e\x00\x01t%s%n%n\x00\xff!!!", 16);
        assert_ok(tn_listener_wait(l, 60000, &woken));
        assert_true(woken);
    }
    tn_listener_close(l);
    stop(&b);
}

static void a_broker_that_comes_back_is_heard_again(void **state) {
    (void)state;
    tn_listener *l;
    broker b = {0};
    start(&b, 0);
    tn_mqtt_options o = options_of(&b);
    assert_ok(tn_listener_open(&o, &l));
    assert_true(comes_to(l, TN_OK));
    stop(&b);
    assert_true(comes_to(l, TN_E_IO));
    assert_non_null(strstr(tn_last_error(), url));
    start(&b, b.port);
    assert_true(comes_to(l, TN_OK));
    stop(&b);
    tn_listener_close(l);
}

static void a_bad_broker_wakes_nobody(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        static const char *const why[] = {"not authorised", "does not let us listen to 't'", url};
        tn_listener *l;
        bool woken;
        broker b = {.code = i == 0 ? 5 : 0, .granted = i == 1 ? 0x80 : 0, .garbage = i == 2};
        start(&b, 0);
        tn_mqtt_options o = options_of(&b);
        o.user = "edge:sesame";
        assert_ok(tn_listener_open(&o, &l));
        for (int k = 0; k < 3000; k++) {
            assert_int_equal(tn_listener_wait(l, 10, &woken), TN_E_IO);
            assert_false(woken);
            if (strstr(tn_last_error(), why[i]) && !strstr(tn_last_error(), "not answered yet")) break;
            assert_true(k < 2999);
        }
        assert_null(strstr(tn_last_error(), "sesame"));
        tn_listener_close(l);
        stop(&b);
    }
}

static void an_announcement_is_with_the_broker_when_it_returns(void **state) {
    (void)state;
    broker b = {0};
    start(&b, 0);
    tn_mqtt_options o = options_of(&b);
    assert_ok(tn_mqtt_announce(&o, "press@stable"));
    stop(&b);
    assert_string_equal(b.announced, "press@stable");
    assert_int_equal(tn_mqtt_announce(&o, "press@stable"), TN_E_IO);
    assert_non_null(strstr(tn_last_error(), url));
    o.topic = "models/#";
    assert_int_equal(tn_mqtt_announce(&o, "press@stable"), TN_E_INVALID);
    b = (broker){.code = 4};
    start(&b, 0);
    o = options_of(&b);
    assert_int_equal(tn_mqtt_announce(&o, "press@stable"), TN_E_IO);
    stop(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_that_make_no_sense_are_refused),
        cmocka_unit_test(without_a_broker_a_wait_is_a_wait),
        cmocka_unit_test(messages_end_waits),
        cmocka_unit_test(a_broker_that_comes_back_is_heard_again),
        cmocka_unit_test(a_bad_broker_wakes_nobody),
        cmocka_unit_test(an_announcement_is_with_the_broker_when_it_returns),
    };
    tn_mqtt_options o = {
        .struct_size = sizeof o, .broker = "mqtt://localhost", .topic = "#"}; /* nothing to publish on */
    bool absent = tn_mqtt_announce(&o, "") == TN_E_UNSUPPORTED;
    return _cmocka_run_group_tests("mqtt", tests, absent ? 2 : TN_COUNT(tests), NULL, NULL);
}
