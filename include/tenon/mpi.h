/* Training on several processes or machines, by MPI.
 *
 *     mpirun -n 4 tenon train plan.yaml --mpi        # or, in a program that mpirun starts:
 *
 *     tn_mpi *mpi;
 *     tn_mpi_open(&mpi);
 *     tn_trainer_options o = {.struct_size = sizeof o, .group = tn_mpi_group(mpi), ...};     // or tn_plan_options
 *     ...
 *     tn_mpi_close(mpi, true);
 *
 * Each process takes its share of the rows of every batch and adds its gradients to the others' (all-reduce), so that all
 * have the same weights after each step. The sums of the last layers' go on while the backward pass computes the others
 * (MPI_Iallreduce, small gradients together). MPI is Debian's Open MPI (libmpi.so.40, package openmpi-bin), loaded when it is
 * first asked for; nothing of it is needed to build.
 *
 * A process that is killed ends the others with it, as mpirun has it; what is left is the last checkpoint, from which any
 * number of processes goes on.
 *
 * Thread-safety: a process opens it once, and its trainers that share it run one after the other. */
#ifndef TENON_MPI_H
#define TENON_MPI_H

#include <tenon/train.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_mpi tn_mpi;

/* Joins the processes that mpirun started; a process that it did not start is alone. TN_E_UNSUPPORTED where Open MPI is not
 * installed, TN_E_STATE in a process that has left already: MPI cannot be joined twice. */
TN_API tn_status tn_mpi_open(tn_mpi **out_mpi);
/* Leaves them, once all do. well: false ends all processes at once, which those that wait for this one would never do by
 * themselves. Accepts NULL. */
TN_API void tn_mpi_close(tn_mpi *mpi, bool well);
TN_API const tn_group *tn_mpi_group(const tn_mpi *mpi); /* valid until the close */

#ifdef __cplusplus
}
#endif
#endif
