/* audit.log: a line of JSON a change, each with the digest of the line before it, so that a line that was changed or
 * taken out breaks the chain. Reading goes on from a mark, behind which the chain was found whole. */
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG "audit.log"
#define LINE_BYTES 4096 /* of one line at most */

static void user_name(char *text, size_t size) {
    struct passwd entry, *found = NULL;
    char buffer[4096];
    if (getpwuid_r(geteuid(), &entry, buffer, sizeof buffer, &found) == 0 && found)
        snprintf(text, size, "%s", entry.pw_name);
    else
        snprintf(text, size, "%ld", (long)geteuid());
}

tn_status tn_audit_line(uint64_t number, const char *previous, const char *action, const tn_store_version *v,
                        char **out_line) {
    static const tn_store_version none;
    char time_text[32], user[64];
    tn_store_time_text(time(NULL), time_text);
    user_name(user, sizeof user);
    if (!v) v = &none;
    json_t *line = json_pack("{s:I,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "number", (json_int_t)number, "previous", previous,
                             "time", time_text, "action", action, "name", v->name, "version", v->version, "digest",
                             v->digest, "user", user);
    *out_line = line ? tn_json_dump(line) : NULL;
    json_decref(line);
    return *out_line ? TN_OK : tn_fail(TN_E_MEMORY, "no memory for a line of the log");
}

static tn_status parse_line(const char *text, size_t size, tn_store_event *event, char previous[TN_STORE_DIGEST]) {
    json_t *line;
    *event = (tn_store_event){0};
    TN_TRY(tn_json_parse("a line of " LOG, text, size, &line));
    const char *what = "a line of " LOG;
    json_int_t number = json_integer_value(json_object_get(line, "number"));
    tn_status status = number > 0 ? TN_OK : tn_fail(TN_E_FORMAT, "%s has no number", what);
    const struct {
        const char *key;
        char *text;
        size_t size;
    } members[] = {{"time", event->time, sizeof event->time},       {"action", event->action, sizeof event->action},
                   {"name", event->name, sizeof event->name},       {"version", event->version, sizeof event->version},
                   {"digest", event->digest, sizeof event->digest}, {"user", event->user, sizeof event->user},
                   {"previous", previous, TN_STORE_DIGEST}};
    event->number = (uint64_t)number;
    for (size_t i = 0; i < TN_COUNT(members) && status == TN_OK; i++)
        status = tn_json_copy(line, what, members[i].key, members[i].text, members[i].size);
    json_decref(line);
    return status;
}

tn_status tn_audit_tail(const tn_store *s, uint64_t *out_number, char digest[TN_STORE_DIGEST], uint64_t *out_end) {
    char tail[2 * LINE_BYTES], previous[TN_STORE_DIGEST];
    struct stat info;
    tn_store_event event;
    *out_number = 0;
    digest[0] = 0;
    if (out_end) *out_end = 0;
    int file = openat(s->folder, LOG, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0 && errno == ENOENT) return TN_OK;
    if (file < 0) return tn_store_io_error(s, "open", LOG);
    off_t size = fstat(file, &info) == 0 ? info.st_size : 0, from = TN_MAX(size - (off_t)sizeof tail, (off_t)0);
    ssize_t n = pread(file, tail, (size_t)(size - from), from);
    close(file);
    if (n != size - from) return tn_store_io_error(s, "read", LOG);
    ssize_t end = n, start;
    while (end > 0 && tail[end - 1] != '\n') end--;
    if (out_end) *out_end = (uint64_t)(from + end);
    if (end == 0) return TN_OK;
    for (start = end - 1; start > 0 && tail[start - 1] != '\n';) start--;
    size_t length = (size_t)(end - 1 - start);
    TN_TRY(parse_line(tail + start, length, &event, previous));
    *out_number = event.number;
    tn_digest_of(tail + start, length, digest);
    return TN_OK;
}

tn_status tn_audit_cut(const tn_store *s) {
    uint64_t number, end;
    char digest[TN_STORE_DIGEST];
    struct stat info;
    TN_TRY(tn_audit_tail(s, &number, digest, &end));
    int file = openat(s->folder, LOG, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (file < 0) return tn_store_io_error(s, "open", LOG);
    tn_status status = TN_OK;
    if (fstat(file, &info) != 0 || ((uint64_t)info.st_size > end && ftruncate(file, (off_t)end) != 0))
        status = tn_store_io_error(s, "shorten", LOG);
    close(file);
    return status;
}

tn_status tn_audit_place(const char *line, uint64_t *out_number, char previous[TN_STORE_DIGEST]) {
    tn_store_event event;
    TN_TRY(parse_line(line, strlen(line), &event, previous));
    *out_number = event.number;
    return TN_OK;
}

tn_status tn_audit_retire(const tn_store *s) {
    char name[64];
    snprintf(name, sizeof name, "audit.damaged-%lld.log", (long long)time(NULL));
    if (renameat(s->folder, LOG, s->folder, name) != 0) return tn_store_io_error(s, "rename", LOG);
    return tn_store_flush_folder(s, ".");
}

tn_status tn_audit_append(const tn_store *s, const char *line) {
    char text[LINE_BYTES];
    int n = snprintf(text, sizeof text, "%s\n", line);
    if (n < 0 || (size_t)n >= sizeof text) return tn_fail(TN_E_LIMIT, "a line for " LOG " is too long");
    int file = openat(s->folder, LOG, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (file < 0) return tn_store_io_error(s, "open", LOG);
    tn_status status = TN_OK;
    ssize_t done = write(file, text, (size_t)n);
    if (done >= 0 && done < n) errno = ENOSPC;
    if (done < n || fsync(file) != 0) status = tn_store_io_error(s, "write", LOG);
    close(file);
    return status;
}

/* A log that was put aside is another file; one that became shorter is another log. */
static void find_mark(tn_audit_mark *mark, const struct stat *info) {
    if (mark->inode == (uint64_t)info->st_ino && mark->offset <= (uint64_t)info->st_size) return;
    *mark = (tn_audit_mark){.inode = (uint64_t)info->st_ino};
}

static tn_status take_line(const tn_store *s, tn_audit_mark *mark, const char *line, size_t size, tn_audit_visit *visit,
                           void *context) {
    tn_store_event event;
    char previous[TN_STORE_DIGEST];
    TN_TRY(parse_line(line, size, &event, previous));
    if (event.number != mark->number + 1 || strcmp(previous, mark->digest) != 0)
        return tn_fail(TN_E_FORMAT, "'%s/" LOG "': line %llu does not follow the one before it", s->path,
                       (unsigned long long)mark->number + 1);
    mark->number++;
    mark->offset += size + 1;
    tn_digest_of(line, size, mark->digest);
    return visit(&event, context);
}

/* What follows the last newline is no line. */
static tn_status take_lines(const tn_store *s, tn_audit_mark *mark, uint64_t last, int file, tn_audit_visit *visit,
                            void *context) {
    char piece[4 * LINE_BYTES];
    while (mark->number < last) {
        ssize_t n = pread(file, piece, sizeof piece, (off_t)mark->offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return tn_store_io_error(s, "read", LOG);
        const char *line = piece, *stop = piece + n, *end;
        for (; mark->number < last && (end = memchr(line, '\n', (size_t)(stop - line))); line = end + 1)
            TN_TRY(take_line(s, mark, line, (size_t)(end - line), visit, context));
        if (line == piece && n == sizeof piece)
            return tn_fail(TN_E_FORMAT, "'%s/" LOG "': line %llu has more than %d bytes", s->path,
                           (unsigned long long)mark->number + 1, LINE_BYTES);
        if (line == piece) break;
    }
    return TN_OK;
}

tn_status tn_audit_follow(const tn_store *s, tn_audit_mark *mark, uint64_t last, tn_audit_visit *visit, void *context) {
    struct stat info;
    int file = openat(s->folder, LOG, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) return tn_store_io_error(s, "open", LOG);
    tn_status status = TN_OK;
    if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode))
        status = tn_fail(TN_E_IO, "'%s/" LOG "' is no file", s->path);
    else
        find_mark(mark, &info);
    if (status == TN_OK) status = take_lines(s, mark, last, file, visit, context);
    close(file);
    if (status != TN_OK) *mark = (tn_audit_mark){0};
    return status;
}

tn_status tn_audit_each(const tn_store *s, tn_audit_visit *visit, void *context) {
    tn_audit_mark mark = {0};
    return tn_audit_follow(s, &mark, UINT64_MAX, visit, context);
}

/* ---- what the log told this handle of each pair of name and version ---- */

static void pair_of(const char *name, const char *version, char pair[2 * TN_STORE_NAME]) {
    snprintf(pair, 2 * (size_t)TN_STORE_NAME, "%s:%s", name, version);
}

static tn_status remember(const tn_store_event *event, void *context) {
    char pair[2 * TN_STORE_NAME];
    if (event->number == 1) json_object_clear(context);
    if (!event->name[0]) return TN_OK;
    pair_of(event->name, event->version, pair);
    return json_object_set_new(context, pair, json_string(event->digest)) == 0 ? TN_OK
                                                                               : tn_fail(TN_E_MEMORY, "no memory");
}

tn_status tn_audit_history(tn_store *s, const char *name, const char *version, char digest[TN_STORE_DIGEST]) {
    char pair[2 * TN_STORE_NAME];
    digest[0] = 0;
    if (!s->history) s->history = json_object();
    if (!s->history) return tn_fail(TN_E_MEMORY, "no memory for what the log tells");
    TN_TRY(tn_audit_follow(s, &s->told, UINT64_MAX, remember, s->history));
    pair_of(name, version, pair);
    const char *text = json_string_value(json_object_get(s->history, pair));
    if (text) memcpy(digest, text, TN_MIN(strlen(text) + 1, (size_t)TN_STORE_DIGEST));
    return TN_OK;
}

static tn_status take_event(const tn_store_event *event, void *context) {
    *(tn_store_event *)context = *event;
    return TN_OK;
}

tn_status tn_store_audit(tn_store *s, int index, tn_store_event *out_event) {
    tn_store_event event = {0};
    uint64_t number = (uint64_t)TN_MAX(index, 0) + 1;
    if (s->audited.number >= number) s->audited = (tn_audit_mark){0};
    TN_TRY(tn_store_lock(s, true));
    tn_status status = tn_audit_follow(s, &s->audited, number, take_event, &event);
    tn_change_end(s);
    if (status != TN_OK) return status;
    if (index < 0 || event.number != number)
        return tn_fail(TN_E_NOT_FOUND, "the log of '%s' has no line %d", s->path, index);
    *out_event = event;
    return TN_OK;
}
