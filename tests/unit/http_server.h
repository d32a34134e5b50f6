/* A small HTTP server in a thread, for tests: it answers as the test's function says, however wrong that is. It listens on
 * two ports of this machine, which are two servers to whoever talks to it; each request has a connection of its own. */
#ifndef TN_HTTP_SERVER_H
#define TN_HTTP_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct http_asked {
    int connection, which; /* which of the two ports */
    char method[16], path[2048], header[8192];
    char *body;
    size_t size;
} http_asked;

typedef struct http_server {
    void (*answer)(const http_asked *asked);
    int listener[2], port[2];
    atomic_bool stop;
    pthread_t thread;
} http_server;

/* A field of the request's header; "" if it is not there. */
static inline const char *http_field(const http_asked *a, const char *name) {
    static _Thread_local char value[2048];
    size_t length = strlen(name);
    value[0] = 0;
    for (const char *line = strstr(a->header, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, length) != 0 || line[length] != ':') continue;
        snprintf(value, sizeof value, "%.*s", (int)strcspn(line + length + 2, "\r"), line + length + 2);
        break;
    }
    return value;
}

/* False once the other side is gone. */
static inline bool http_send(const http_asked *a, const void *data, size_t size) {
    for (const char *at = data; size;) {
        ssize_t n = send(a->connection, at, size, MSG_NOSIGNAL);
        if (n <= 0) return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

/* A whole answer; `fields` end in \r\n each. */
static inline void http_answer(const http_asked *a, int code, const char *fields, const void *body, size_t size) {
    char header[4096];
    int n = snprintf(header, sizeof header, "HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n", code,
                     size, fields);
    if (http_send(a, header, (size_t)n) && strcmp(a->method, "HEAD") != 0) http_send(a, body, size);
}

static inline void http_serve_one(http_server *s, int which) {
    http_asked a = {.which = which};
    size_t used = 0;
    char *end = NULL;
    a.connection = accept(s->listener[which], NULL, NULL);
    if (a.connection < 0) return;
    while (!end && used < sizeof a.header - 1) {
        ssize_t n = recv(a.connection, a.header + used, sizeof a.header - 1 - used, 0);
        if (n <= 0) break;
        used += (size_t)n;
        a.header[used] = 0;
        end = strstr(a.header, "\r\n\r\n");
    }
    if (end && sscanf(a.header, "%15s %2047s", a.method, a.path) == 2) {
        size_t size = strtoul(http_field(&a, "Content-Length"), NULL, 10), there = used - (size_t)(end + 4 - a.header);
        a.body = malloc(size + 1);
        memcpy(a.body, end + 4, there < size ? there : size);
        while (there < size) {
            ssize_t n = recv(a.connection, a.body + there, size - there, 0);
            if (n <= 0) break;
            there += (size_t)n;
        }
        a.size = there < size ? there : size;
        end[2] = 0;
        s->answer(&a);
        free(a.body);
    }
    shutdown(a.connection, SHUT_WR);
    close(a.connection);
}

static inline void *http_serve(void *context) {
    http_server *s = context;
    struct pollfd ready[2] = {{s->listener[0], POLLIN, 0}, {s->listener[1], POLLIN, 0}};
    while (!s->stop) {
        if (poll(ready, 2, 20) <= 0) continue;
        for (int i = 0; i < 2; i++)
            if (ready[i].revents) http_serve_one(s, i);
    }
    return NULL;
}

static inline bool http_server_start(http_server *s, void (*answer)(const http_asked *asked)) {
    *s = (http_server){.answer = answer};
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        socklen_t size = sizeof address;
        s->listener[i] = socket(AF_INET, SOCK_STREAM, 0);
        if (s->listener[i] < 0 || bind(s->listener[i], (struct sockaddr *)&address, size) != 0 ||
            listen(s->listener[i], 16) != 0 || getsockname(s->listener[i], (struct sockaddr *)&address, &size) != 0)
            return false;
        s->port[i] = ntohs(address.sin_port);
    }
    return pthread_create(&s->thread, NULL, http_serve, s) == 0;
}

static inline void http_server_stop(http_server *s) {
    s->stop = true;
    pthread_join(s->thread, NULL);
    close(s->listener[0]);
    close(s->listener[1]);
}

#endif
