// The headers in C++: a host that builds a model, runs it and looks at a failure.
#include <cstdio>
#include <tenon/tenon.h>

int main() {
    tn_graph *graph = nullptr;
    tn_model *model = nullptr;
    tn_session *session = nullptr;
    tn_tensor *tensor = nullptr;
    const tn_tensor *out = nullptr;
    const int64_t dims[] = {2};
    float numbers[] = {-1.0f, 2.0f};
    int x = 0, y = 0;
    tn_model_options options = {};
    options.struct_size = sizeof options;
    bool good = tn_graph_create(nullptr, &graph) == TN_OK &&
                tn_graph_input(graph, "x", TN_FLOAT32, 1, dims, &x) == TN_OK &&
                tn_graph_node(graph, "Relu", "relu", 1, &x, 1, &y, nullptr) == TN_OK &&
                tn_graph_output(graph, y, "y") == TN_OK && tn_model_from_graph(graph, &options, &model) == TN_OK &&
                tn_session_create(model, nullptr, &session) == TN_OK &&
                tn_tensor_wrap(TN_FLOAT32, 1, dims, nullptr, numbers, sizeof numbers, &tensor) == TN_OK &&
                tn_session_set_input(session, 0, tensor) == TN_OK && tn_session_run(session) == TN_OK &&
                tn_session_output(session, 0, &out) == TN_OK;
    if (good) good = static_cast<const float *>(tn_tensor_const_data(out))[1] == 2.0f;
    if (good) good = tn_session_set_input(session, 7, tensor) == TN_E_NOT_FOUND;
    std::puts(tn_last_error());
    tn_session_destroy(session);
    tn_tensor_destroy(tensor);
    tn_model_destroy(model);
    return good ? 0 : 1;
}
