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
    X(Allreduce, int, (const void *, void *, int, void *, void *, void *))

struct tn_mpi {
#define DECLARE(name, type, arguments) type(*name) arguments;
    FUNCTIONS(DECLARE)
#undef DECLARE
    void *world, *real, *wide, *sum;
    bool began; /* by us */
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
    m->group = (tn_group){.struct_size = sizeof m->group, .context = m, .sum = sum};
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
    tn_free(NULL, m, sizeof *m);
}

const tn_group *tn_mpi_group(const tn_mpi *m) {
    return &m->group;
}
