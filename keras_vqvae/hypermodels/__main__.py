"""`python -m keras_vqvae.hypermodels DIRECTORY`: a chief's or a worker's part of a search."""

import sys
import threading

from keras_vqvae.hypermodels.kills import forget_trial
from keras_vqvae.hypermodels.search import Search
from keras_vqvae.hypermodels.supervision import GAVE_UP, SearchProcessError, end_with_parent

if __name__ == "__main__":
    threading.Thread(target=end_with_parent, args=(forget_trial,), daemon=True).start()
    try:
        Search.open(sys.argv[1]).take_part(verbose=2)
    except SearchProcessError as error:
        print(error, flush=True)
        sys.exit(GAVE_UP)
