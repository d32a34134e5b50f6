/* Tenon, all of it. Each subject has a header of its own that reads alone. */
#ifndef TENON_TENON_H
#define TENON_TENON_H

#include <tenon/evaluate.h>
#include <tenon/ensemble.h>
#include <tenon/explain.h>
#include <tenon/mpi.h>
#include <tenon/plan.h>

#include <tenon/backup.h>
#include <tenon/data.h>
#include <tenon/delta.h>
#include <tenon/diff.h>
#include <tenon/fetch.h>
#include <tenon/gate.h>
#include <tenon/manifest.h>
#include <tenon/media.h>
#include <tenon/metrics.h>
#include <tenon/model_file.h>
#include <tenon/mqtt.h>
#include <tenon/onnx.h>
#include <tenon/operators.h>
#include <tenon/prune.h>
#include <tenon/pipeline.h>
#include <tenon/quantize.h>
#include <tenon/recipe.h>
#include <tenon/registry.h>
#include <tenon/risk.h>
#include <tenon/safetensors.h>
#include <tenon/self_test.h>
#include <tenon/session.h>
#include <tenon/sign.h>
#include <tenon/store.h>
#include <tenon/subscription.h>
#include <tenon/train.h>
#include <tenon/trust.h>
#include <tenon/tune.h>
#include <tenon/upgrade.h>
#include <tenon/weights.h>

#endif
