"""Trains scikit-learn models on its own data sets, exports them with skl2onnx, and writes them down as test cases.

Layout as ONNX's own tests have it: build/models/cases/sklearn/test_<name>/model.onnx,
test_data_set_0/{input,output}_K.pb, where outputs are what ONNX Runtime makes of the inputs. An argument names a part of
the names to make.
"""
import pathlib
import sys
import warnings

import numpy as np
import onnxruntime as ort
from onnx import numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn import datasets, decomposition, discriminant_analysis, ensemble, linear_model, naive_bayes, neighbors
from sklearn import neural_network, pipeline, preprocessing, svm, tree
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer

OUT = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "build/models/cases/sklearn")
ROWS = 40  # of each case
OPSET = {"": 21, "ai.onnx.ml": 3}


def numbers(load):
    x, y = load(return_X_y=True)
    return x.astype(np.float32), y


IRIS, CANCER, DIGITS, WINE = map(numbers, (datasets.load_iris, datasets.load_breast_cancer, datasets.load_digits, datasets.load_wine))
DIABETES = numbers(datasets.load_diabetes)
HOLES = (np.where(np.random.default_rng(1).random(IRIS[0].shape) < 0.1, np.nan, IRIS[0]).astype(np.float32), IRIS[1])
NAMES = (IRIS[0], np.array(["setosa", "versicolor", "virginica"])[IRIS[1]])
TARGETS = (DIABETES[0], np.stack([DIABETES[1], DIABETES[1] ** 2 / 300], axis=1))
scaled = lambda model: pipeline.make_pipeline(preprocessing.StandardScaler(), model)
E, L, N, S = ensemble, linear_model, naive_bayes, svm

# name: data and estimator
CASES = {
    "logistic_binary": (CANCER, scaled(L.LogisticRegression())),
    "logistic_multinomial": (IRIS, L.LogisticRegression(max_iter=500)),
    "logistic_names": (NAMES, L.LogisticRegression(max_iter=500)),
    "ridge_classifier": (WINE, L.RidgeClassifier()),
    "sgd_log_loss": (CANCER, scaled(L.SGDClassifier(loss="log_loss", random_state=0))),
    "linear_svc": (IRIS, S.LinearSVC()),
    "svc_rbf_binary": (CANCER, scaled(S.SVC())),
    "svc_rbf_multiclass": (IRIS, S.SVC(decision_function_shape="ovo")),
    "svc_poly_names": (NAMES, S.SVC(kernel="poly", degree=2)),
    "svc_sigmoid": (WINE, scaled(S.SVC(kernel="sigmoid"))),
    "nu_svc_linear": (WINE, scaled(S.NuSVC(kernel="linear", nu=0.1))),
    "decision_tree": (IRIS, tree.DecisionTreeClassifier(random_state=0)),
    "decision_tree_holes": (HOLES, tree.DecisionTreeClassifier(random_state=0)),
    "random_forest_binary": (CANCER, E.RandomForestClassifier(30, random_state=0)),
    "random_forest_digits": (DIGITS, E.RandomForestClassifier(50, max_depth=8, random_state=0)),
    "random_forest_names": (NAMES, E.RandomForestClassifier(10, random_state=0)),
    "extra_trees": (WINE, E.ExtraTreesClassifier(20, random_state=0)),
    "gradient_boosting_binary": (CANCER, E.GradientBoostingClassifier(n_estimators=30, random_state=0)),
    "gradient_boosting_multiclass": (WINE, E.GradientBoostingClassifier(n_estimators=20, random_state=0)),
    "hist_gradient_boosting_binary": (CANCER, E.HistGradientBoostingClassifier(max_iter=30)),
    "hist_gradient_boosting_holes": (HOLES, E.HistGradientBoostingClassifier(max_iter=20)),
    "ada_boost": (IRIS, E.AdaBoostClassifier(n_estimators=20, random_state=0)),
    "bagging": (IRIS, E.BaggingClassifier(tree.DecisionTreeClassifier(max_depth=3), 5, random_state=0)),
    "voting": (IRIS, E.VotingClassifier([("a", L.LogisticRegression(max_iter=500)), ("b", N.GaussianNB())], voting="soft", flatten_transform=False)),
    "gaussian_nb": (IRIS, N.GaussianNB()),
    "multinomial_nb": (DIGITS, N.MultinomialNB()),
    "bernoulli_nb": (DIGITS, N.BernoulliNB(binarize=8)),
    "k_neighbors": (IRIS, neighbors.KNeighborsClassifier()),
    "mlp_classifier": (IRIS, scaled(neural_network.MLPClassifier((16,), max_iter=400, random_state=0))),
    "lda": (WINE, discriminant_analysis.LinearDiscriminantAnalysis()),
    "isolation_forest": (IRIS, E.IsolationForest(n_estimators=20, random_state=0)),
    "one_class_svm": (IRIS, S.OneClassSVM()),
    "k_means": (IRIS, KMeans(4, n_init=3, random_state=0)),
    "linear_regression": (DIABETES, L.LinearRegression()),
    "linear_regression_targets": (TARGETS, L.LinearRegression()),
    "lasso": (DIABETES, L.Lasso(0.1)),
    "svr_rbf": (DIABETES, S.SVR(C=100)),
    "svr_poly": (DIABETES, S.SVR(kernel="poly", C=100)),
    "linear_svr": (DIABETES, S.LinearSVR(C=100, max_iter=5000)),
    "decision_tree_regressor": (DIABETES, tree.DecisionTreeRegressor(max_depth=6, random_state=0)),
    "random_forest_regressor": (DIABETES, E.RandomForestRegressor(40, random_state=0)),
    "random_forest_targets": (TARGETS, E.RandomForestRegressor(10, random_state=0)),
    "extra_trees_regressor": (DIABETES, E.ExtraTreesRegressor(20, max_depth=8, random_state=0)),
    "gradient_boosting_regressor": (DIABETES, E.GradientBoostingRegressor(n_estimators=40, random_state=0)),
    "hist_gradient_boosting_regressor": (DIABETES, E.HistGradientBoostingRegressor(max_iter=40)),
    "k_neighbors_regressor": (DIABETES, neighbors.KNeighborsRegressor()),
    "mlp_regressor": (DIABETES, neural_network.MLPRegressor(hidden_layer_sizes=(16,), max_iter=50, random_state=0)),
    "pca": (DIGITS, decomposition.PCA(8)),
    "min_max_scaler": (WINE, preprocessing.MinMaxScaler()),
    "robust_scaler": (WINE, preprocessing.RobustScaler()),
    "normalizer_l1": (WINE, preprocessing.Normalizer("l1")),
    "normalizer_l2": (WINE, preprocessing.Normalizer("l2")),
    "binarizer": (WINE, preprocessing.Binarizer(threshold=10)),
    "polynomial": (IRIS, preprocessing.PolynomialFeatures(2)),
    "k_bins": (IRIS, preprocessing.KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf")),
    "imputed_logistic": (HOLES, pipeline.make_pipeline(SimpleImputer(), L.LogisticRegression(max_iter=500))),
}


def save(path, name, array):
    path.write_bytes(numpy_helper.from_array(np.asarray(array), name).SerializeToString())


def plain(output):
    """A list of maps, as ZipMap makes it, as the tensor of their values."""
    if isinstance(output, list):
        return np.array([list(row.values()) for row in output], dtype=np.float32)
    return output.astype(object) if output.dtype.kind == "U" else output


def write(name, model, feed):
    folder = OUT / ("test_" + name)
    data = folder / "test_data_set_0"
    data.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for k, i in enumerate(session.get_inputs()):
        save(data / f"input_{k}.pb", i.name, feed[i.name])
    for k, array in enumerate(session.run(None, feed)):
        save(data / f"output_{k}.pb", session.get_outputs()[k].name, plain(array))
    print(name)


def wanted(name):
    return len(sys.argv) < 2 or sys.argv[1] in name


def make(name, data, estimator, **options):
    x, y = data
    estimator.fit(x, y)
    rows = 1.01 * x[np.random.default_rng(3).permutation(len(x))[:ROWS]]  # beside what it was trained on
    final = estimator[-1] if isinstance(estimator, pipeline.Pipeline) else estimator
    zipmap = options.pop("zipmap", False)
    options.setdefault("target_opset", OPSET)
    if hasattr(final, "predict_proba") or isinstance(final, (S.SVC, S.NuSVC)):
        options["options"] = {id(final): {"zipmap": zipmap}}
    exported = to_onnx(estimator, x[:1], **options)
    write(name, exported, {"X": rows})


def make_columns():
    """Numbers and words in one table."""
    random = np.random.default_rng(5)
    size, word = random.normal(size=(200, 2)).astype(np.float32), random.choice(["red", "green", "blue"], (200, 1))
    y = (size[:, 0] > 0) ^ (word[:, 0] == "red")
    table = np.concatenate([size.astype(object), word.astype(object)], axis=1)
    columns = [("size", preprocessing.StandardScaler(), [0, 1]), ("word", preprocessing.OneHotEncoder(), [2])]
    model = pipeline.make_pipeline(ColumnTransformer(columns), L.LogisticRegression()).fit(table, y)
    types = [("size", FloatTensorType([None, 2])), ("word", StringTensorType([None, 1]))]
    exported = to_onnx(model, initial_types=types, target_opset=OPSET, options={id(model[-1]): {"zipmap": False}})
    write("columns", exported, {"size": size[:ROWS], "word": word[:ROWS].astype(object)})


def make_text():
    """Sentences, cut into words and pairs of them. ONNX Runtime changes case only where its locale is installed."""
    random = np.random.default_rng(6)
    words = np.array("the pump bearing runs hot and loud at 40 rpm, valve_3 leaks; no fault".split())
    lines = [" ".join(random.choice(words, int(random.integers(1, 9)))) for _ in range(80)]
    y = ["hot" in line or "leaks;" in line for line in lines]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), lowercase=False, token_pattern="[a-zA-Z0-9_]+")
    model = pipeline.make_pipeline(vectorizer, L.LogisticRegression()).fit(lines, y)
    exported = to_onnx(model, initial_types=[("line", StringTensorType([None, 1]))], target_opset=OPSET, options={id(model[-1]): {"zipmap": False}})
    write("text", exported, {"line": np.array(lines[:ROWS] + [""], dtype=object)[:, None]})


warnings.simplefilter("ignore")
for name, (data, estimator) in CASES.items():
    if wanted(name):
        make(name, data, estimator)
if wanted("zip_map"):
    make("zip_map", IRIS, E.RandomForestClassifier(5, random_state=0), zipmap=True)
if wanted("older_opset"):
    make("older_opset", WINE, scaled(E.GradientBoostingClassifier(n_estimators=5, random_state=0)), target_opset={"": 12, "ai.onnx.ml": 2})
if wanted("columns"):
    make_columns()
if wanted("text"):
    make_text()
