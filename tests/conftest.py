"""What every test gets: a seed, the default dtype policy, and skips by backend.

Keras is imported in functions: the process that hands tests to others needs none.
"""

import os
import signal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

# A shell that starts the tests in the background may have them ignore Ctrl-C, which some send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Needs the extra `oracle` at import, and is no test.
collect_ignore = ["golden/make_goldens.py"]


def pytest_collection_modifyitems(items):
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        return
    skip = pytest.mark.skip(reason=f"uses TensorFlow itself; the backend is {backend}")
    for item in items:
        # The examples of a room that is for TensorFlow have no place for a marker.
        if item.get_closest_marker("tensorflow_only") or "distributions" in item.path.parts:
            item.add_marker(skip)


@pytest.fixture(autouse=True, scope="session")
def lasting_kernels():
    """A seed leaves TensorFlow's kernels as they are.

    By a seed TensorFlow forgets them all, as those of `tf.random` hold a state, and makes them anew
    for each test. Nothing here draws by those.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        yield
        return
    from tensorflow.python.eager import context

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context.pywrap_tfe, "TFE_ContextClearCaches", lambda handle: None)
        yield


@pytest.fixture(autouse=True)
def fresh_keras():
    """Every test begins with the same seed, the same names and float32."""
    import keras
    from keras.src.utils import naming

    # Of `keras.utils.clear_session` this alone: all of it makes TensorFlow forget its kernels too,
    # which it then makes anew for each test.
    naming.reset_uids()
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
