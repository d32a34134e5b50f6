/* Open MPI as a group of trainers. Its functions and handles are taken from the library by their names, which are the same
 * in all of its versions with libmpi.so.40; MPI_Init and what follows are for one thread. */
#include <tenon/mpi.h>
#include <dlfcn.h>
#include "base/base.h"

/* Handles of Open MPI are addresses of objects that it exports. */
#define FUNCTIONS(X)                                                                                                   \
    X(Init, int, (int *, char ***))                                                                                    \
    X(Initialized, int, (int *))                                                                                       \
    X(Finalized, int, (int *))                                                                                         \
    X(Finalize, int, (void))                                                                                           \
    X(Abort, int, (void *, int))                                                                                       \
    X(Comm_rank, int, (void *, int *))                                                                                 \
    X(Comm_size, int, (void *, int *))                                                                                 \
    X(Allreduce, int, (const void *, void *, int, void *, void *, void *))                                             \
    X(Iallreduce, int, (const void *, void *, int, void *, void *, void *, void **))                                   \
    X(Testall, int, (int, void **, int *, void *))                                                                     \
    X(Waitall, int, (int, void **, void *))

/* Small tensors of one type that are summed together: copies, with the places that they come from and go back to. */
enum { BUCKET_BYTES = 1 << 18, BUCKET_PARTS = 64 };

typedef struct bucket {
    struct bucket *next;
    tn_dtype dtype;
    size_t used; /* bytes */
    int count;
    bool sent;
    struct {
        void *to;
        size_t offset, size;
    } parts[BUCKET_PARTS];
    uint8_t data[BUCKET_BYTES];
} bucket;

struct tn_mpi {
#define DECLARE(name, type, arguments) type(*name) arguments;
    FUNCTIONS(DECLARE)
#undef DECLARE
    void *world, *real, *wide, *sum;
    bool began;      /* by us */
    bucket *buckets; /* the newest first: that one alone may be filling */
    void **requests; /* of sums under way */
    int under_way, room;
    tn_group group;
};

static tn_status load(tn_mpi *m) {
    const char *missing = NULL;
    /* Its plug-ins look for its symbols among the global ones. */
    void *library = dlopen("libmpi.so.40", RTLD_NOW | RTLD_GLOBAL);
    if (!library) missing = "libmpi.so.40";
#define FIND(name, type, arguments)                                                                                    \
    if (!missing && !(*(void **)&m->name = dlsym(library, "MPI_" #name))) missing = "MPI_" #name;
    FUNCTIONS(FIND)
#undef FIND
    const struct {
        const char *name;
        void **to;
    } handles[] = {{"ompi_mpi_comm_world", &m->world},
                   {"ompi_mpi_float", &m->real},
                   {"ompi_mpi_double", &m->wide},
                   {"ompi_mpi_op_sum", &m->sum}};
    for (size_t i = 0; i < TN_COUNT(handles) && !missing; i++)
        if (!(*handles[i].to = dlsym(library, handles[i].name))) missing = handles[i].name;
    return missing ? tn_fail(TN_E_UNSUPPORTED, "Open MPI cannot be used: %s is not there; install openmpi-bin", missing)
                   : TN_OK;
}

static tn_status sum(void *context, tn_dtype dtype, int64_t count, void *data) {
    tn_mpi *m = context;
    const int64_t most = 1 << 28; /* MPI counts in int */
    const size_t size = dtype == TN_FLOAT64 ? sizeof(double) : sizeof(float);
    void *const in_place = (void *)1;
    for (int64_t first = 0; first < count; first += most) {
        const int part = (int)TN_MIN(count - first, most);
        void *at = (char *)data + (size_t)first * size;
        const int code = m->Allreduce(in_place, at, part, dtype == TN_FLOAT64 ? m->wide : m->real, m->sum, m->world);
        if (code != 0) return tn_fail(TN_E_IO, "MPI_Allreduce fails with code %d", code);
    }
    return TN_OK;
}

/* ---- sums that go on while others compute ---- */

static tn_status start(tn_mpi *m, tn_dtype dtype, int64_t count, void *data) {
    const int64_t most = 1 << 28;
    const size_t size = dtype == TN_FLOAT64 ? sizeof(double) : sizeof(float);
    for (int64_t first = 0; first < count; first += most) {
        if (m->under_way == m->room) {
            const int room = m->room ? 2 * m->room : 32;
            void **more = tn_alloc(NULL, (size_t)room * sizeof *more);
            if (!more) return TN_E_MEMORY;
            if (m->under_way) memcpy(more, m->requests, (size_t)m->under_way * sizeof *more);
            tn_free(NULL, m->requests, (size_t)m->room * sizeof *more);
            m->requests = more;
            m->room = room;
        }
        const int part = (int)TN_MIN(count - first, most);
        const int code =
            m->Iallreduce((void *)1, (char *)data + (size_t)first * size, part, dtype == TN_FLOAT64 ? m->wide : m->real,
                          m->sum, m->world, &m->requests[m->under_way]);
        if (code != 0) return tn_fail(TN_E_IO, "MPI_Iallreduce fails with code %d", code);
        m->under_way++;
    }
    return TN_OK;
}

/* The bucket that is being filled, or NULL. */
static bucket *open_bucket(const tn_mpi *m) {
    return m->buckets && !m->buckets->sent ? m->buckets : NULL;
}

static tn_status send(tn_mpi *m, bucket *b) {
    if (!b) return TN_OK;
    b->sent = true;
    return start(m, b->dtype, (int64_t)(b->used / (b->dtype == TN_FLOAT64 ? sizeof(double) : sizeof(float))), b->data);
}

static tn_status put(tn_mpi *m, tn_dtype dtype, size_t bytes, void *data) {
    bucket *b = open_bucket(m);
    if (b && (b->dtype != dtype || b->used + bytes > BUCKET_BYTES || b->count == BUCKET_PARTS)) {
        TN_TRY(send(m, b));
        b = NULL;
    }
    if (!b) {
        b = tn_alloc(NULL, sizeof *b);
        if (!b) return TN_E_MEMORY;
        b->dtype = dtype;
        b->used = 0;
        b->count = 0;
        b->sent = false;
        b->next = m->buckets;
        m->buckets = b;
    }
    memcpy(b->data + b->used, data, bytes);
    b->parts[b->count].to = data;
    b->parts[b->count].offset = b->used;
    b->parts[b->count++].size = bytes;
    b->used += bytes;
    return TN_OK;
}

/* MPI moves on where it is called: each call is one for all that is under way. */
static tn_status begin(void *context, tn_dtype dtype, int64_t count, void *data) {
    tn_mpi *m = context;
    const size_t bytes = (size_t)count * (dtype == TN_FLOAT64 ? sizeof(double) : sizeof(float));
    int done;
    TN_TRY(bytes > BUCKET_BYTES / 4 ? start(m, dtype, count, data) : put(m, dtype, bytes, data));
    if (m->under_way && m->Testall(m->under_way, m->requests, &done, NULL) != 0)
        return tn_fail(TN_E_IO, "MPI_Testall fails");
    return TN_OK;
}

static tn_status finish(void *context) {
    tn_mpi *m = context;
    tn_status status = send(m, open_bucket(m));
    const int code = m->under_way ? m->Waitall(m->under_way, m->requests, NULL) : 0;
    m->under_way = 0;
    if (status == TN_OK && code != 0) status = tn_fail(TN_E_IO, "MPI_Waitall fails with code %d", code);
    for (bucket *b = m->buckets, *next; b; b = next) {
        next = b->next;
        for (int i = 0; i < b->count && status == TN_OK; i++)
            memcpy(b->parts[i].to, b->data + b->parts[i].offset, b->parts[i].size);
        tn_free(NULL, b, sizeof *b);
    }
    m->buckets = NULL;
    return status;
}

static tn_status join(tn_mpi *m) {
    int initialized = 0, finalized = 0;
    TN_TRY(load(m));
    m->Initialized(&initialized);
    m->Finalized(&finalized);
    if (finalized) return tn_fail(TN_E_STATE, "this process has left MPI already; it cannot be joined twice");
    if (!initialized) {
        if (m->Init(NULL, NULL) != 0) return tn_fail(TN_E_IO, "MPI_Init fails");
        m->began = true;
    }
    m->group = (tn_group){.struct_size = sizeof m->group, .context = m, .sum = sum, .begin = begin, .finish = finish};
    if (m->Comm_rank(m->world, &m->group.rank) != 0 || m->Comm_size(m->world, &m->group.count) != 0)
        return tn_fail(TN_E_IO, "MPI does not tell how many processes there are");
    return TN_OK;
}

tn_status tn_mpi_open(tn_mpi **out_mpi) {
    tn_mpi *m = *out_mpi = tn_alloc_zero(NULL, sizeof *m);
    if (!m) return TN_E_MEMORY;
    tn_status status = join(m);
    if (status == TN_OK) return TN_OK;
    tn_free(NULL, m, sizeof *m);
    *out_mpi = NULL;
    return status;
}

void tn_mpi_close(tn_mpi *m, bool well) {
    if (!m) return;
    if (!well && m->group.count > 1) m->Abort(m->world, 1);
    if (m->began) m->Finalize();
    tn_free(NULL, m->requests, (size_t)m->room * sizeof *m->requests);
    tn_free(NULL, m, sizeof *m);
}

const tn_group *tn_mpi_group(const tn_mpi *m) {
    return &m->group;
}
