/* One store, eight processes that publish, promote, remove, collect and read at once: no version is lost, nobody reads a
 * mixture, newest versions and channels only go forward, and in the end every byte is right and the log tells of each
 * change. `processes 600` goes on for 600 seconds; without a number it is 3. */
#include "unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <tenon/tenon.h>
#include <time.h>
#include <unistd.h>
#include "tree.h"

enum { PROCESSES = 8, KEPT = 3, LONGEST = 60000 };

static char root[64];
static int seconds = 3;

static char *at(const char *name) {
    return tree_at(root, name);
}

/* What a process did, where the others and the parent see it. */
typedef struct account {
    int puts, removes, promotes, reads, collects;
    int newest, promoted; /* versions: N.0.0 */
    char failure[600];
} account;

static account *accounts;
static int self;

/* Ends the child that it is called in. */
static void require(bool good, const char *what) {
    if (good) return;
    snprintf(accounts[self].failure, sizeof accounts[self].failure, "process %d: %s: %s", self, what, tn_last_error());
    _exit(1);
}

/* The file of version N.0.0 of any model: processes of the same step store the same bytes. It begins with its number. */
static size_t content(int n, unsigned char *data) {
    uint32_t state = (uint32_t)n * 2654435761u + 1;
    size_t size = 1000 + (size_t)n * 7919 % (LONGEST - 1000);
    memcpy(data, &n, sizeof n);
    for (size_t i = sizeof n; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = (unsigned char)(state >> 24);
    }
    return size;
}

static char *own(const char *name) {
    char text[64];
    snprintf(text, sizeof text, "%s-%d", name, self);
    return at(text);
}

static void publish(tn_store *s) {
    static unsigned char data[LONGEST];
    char name[16], version[32];
    account *mine = &accounts[self];
    int n = mine->newest + 1;
    size_t size = content(n, data);
    FILE *file = fopen(own("file"), "wb");
    require(file && fwrite(data, 1, size, file) == size && fclose(file) == 0, "write");
    snprintf(name, sizeof name, "m%d", self);
    snprintf(version, sizeof version, "%d.0.0", n);
    tn_store_put_options o = {.struct_size = sizeof o, .name = name, .version = version};
    require(tn_store_put(s, own("file"), &o, NULL) == TN_OK, "put");
    __atomic_store_n(&mine->newest, n, __ATOMIC_SEQ_CST);
    mine->puts++;
}

static void promote(tn_store *s) {
    char reference[32];
    account *mine = &accounts[self];
    snprintf(reference, sizeof reference, "m%d:%d.0.0", self, mine->newest);
    require(tn_store_promote(s, reference, "stable", at("keys")) == TN_OK, "promote");
    __atomic_store_n(&mine->promoted, mine->newest, __ATOMIC_SEQ_CST);
    mine->promotes++;
}

/* The oldest but for a few, unless the channel leads to it. */
static void drop_oldest(tn_store *s) {
    char reference[32];
    account *mine = &accounts[self];
    int oldest = mine->puts - mine->removes;
    oldest = mine->newest - oldest + 1;
    if (mine->newest - oldest < KEPT || oldest >= mine->promoted) return;
    snprintf(reference, sizeof reference, "m%d:%d.0.0", self, oldest);
    require(tn_store_remove(s, reference) == TN_OK, "remove");
    mine->removes++;
}

/* Another's newest, and where its channel leads; both at least as new as they were before the call. */
static void read_one(tn_store *s, int other) {
    static unsigned char expected[LONGEST];
    char reference[32];
    tn_store_version v;
    size_t size;
    int newest = __atomic_load_n(&accounts[other].newest, __ATOMIC_SEQ_CST), n = 0;
    int promoted = __atomic_load_n(&accounts[other].promoted, __ATOMIC_SEQ_CST);
    if (!newest) return;
    snprintf(reference, sizeof reference, "m%d", other);
    require(tn_store_get(s, reference, own("copy")) == TN_OK, "get");
    FILE *file = fopen(own("copy"), "rb");
    static unsigned char data[LONGEST + 1];
    require(file != NULL, "open");
    size = fread(data, 1, sizeof data, file);
    fclose(file);
    memcpy(&n, data, sizeof n);
    require(n >= newest && size == content(n, expected) && memcmp(data, expected, size) == 0, "a torn or an old read");
    accounts[self].reads++;
    if (!promoted) return;
    snprintf(reference, sizeof reference, "m%d@stable", other);
    require(tn_store_find(s, reference, &v) == TN_OK, "find");
    require(atoi(v.version) >= promoted, "a channel went back");
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void child(double until) {
    tn_store *s;
    uint32_t state = (uint32_t)self * 977 + 13;
    require(tn_store_open(at("s"), &s) == TN_OK, "open");
    while (now() < until) {
        state = state * 1664525u + 1013904223u;
        unsigned draw = state >> 16;
        switch (draw % 8) {
        case 0:
        case 1: publish(s); break;
        case 2:
            if (accounts[self].newest) promote(s);
            break;
        case 3: drop_oldest(s); break;
        case 4:
            require(tn_store_collect(s, NULL) == TN_OK, "collect");
            accounts[self].collects++;
            break;
        default: read_one(s, (int)(draw / 8 % PROCESSES));
        }
    }
    tn_store_close(s);
    _exit(0);
}

/* The log has a line for each change, and the chain of its lines holds. */
static void check_log(tn_store *s, const account *sum) {
    tn_store_event e;
    int puts = 0, removes = 0, promotes = 0;
    for (int i = 0; tn_store_audit(s, i, &e) == TN_OK; i++) {
        puts += strcmp(e.action, "put") == 0;
        removes += strcmp(e.action, "remove") == 0;
        promotes += strcmp(e.action, "promote") == 0;
    }
    assert_int_equal(puts, sum->puts);
    assert_int_equal(removes, sum->removes);
    assert_int_equal(promotes, sum->promotes);
}

static void eight_processes_lose_nothing_and_read_nothing_torn(void **state) {
    (void)state;
    tn_store *s;
    tn_store_version v;
    account sum = {0};
    pid_t children[PROCESSES];
    char reference[32];
    accounts = mmap(NULL, PROCESSES * sizeof *accounts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(accounts, MAP_FAILED);
    assert_true(tree_make(root, "processes"));
    assert_ok(tn_store_create(at("s")));
    assert_ok(tn_store_open(at("s"), &s));
    assert_ok(tn_trust_init(s, at("keys"), NULL));
    tn_store_close(s);
    double until = now() + seconds;
    for (self = 0; self < PROCESSES; self++) {
        children[self] = fork();
        if (children[self] == 0) child(until);
        assert_true(children[self] > 0);
    }
    int failed = 0, status, versions = 0, faults = -1;
    for (int i = 0; i < PROCESSES; i++) {
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        if (status) print_error("%s\n", accounts[i].failure[0] ? accounts[i].failure : "a process was killed");
        failed += status != 0;
    }
    assert_int_equal(failed, 0);

    assert_ok(tn_store_open(at("s"), &s));
    assert_ok(tn_store_verify(s, NULL, NULL, &faults));
    assert_int_equal(faults, 0);
    for (int i = 0; i < PROCESSES; i++) {
        const account *a = &accounts[i];
        for (int n = a->removes + 1; n <= a->newest; n++, versions++) {
            snprintf(reference, sizeof reference, "m%d:%d.0.0", i, n);
            assert_ok(tn_store_find(s, reference, &v));
        }
        sum.puts += a->puts;
        sum.removes += a->removes;
        sum.promotes += a->promotes;
        sum.reads += a->reads;
        sum.collects += a->collects;
    }
    assert_int_equal(tn_store_at(s, versions - 1, &v), versions ? TN_OK : TN_E_NOT_FOUND);
    assert_int_equal(tn_store_at(s, versions, &v), TN_E_NOT_FOUND);
    check_log(s, &sum);
    print_message("%d puts, %d removes, %d promotions, %d collections, %d reads in %d s\n", sum.puts, sum.removes,
                  sum.promotes, sum.collects, sum.reads, seconds);
    assert_true(sum.puts > 0 && sum.reads > 0);
    tn_store_close(s);
    munmap(accounts, PROCESSES * sizeof *accounts);
    assert_int_equal(tree_remove(root), 0);
}

int main(int count, char **words) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(eight_processes_lose_nothing_and_read_nothing_torn)};
    tn_store *s;
    if (count > 1) seconds = atoi(words[1]);
    if (tn_store_open("/nowhere", &s) == TN_E_UNSUPPORTED) {
        print_message("stores are left out of this build\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
