"""Named data sets as verified arrays: MNIST, Frey Faces, two bundled stand-ins, and the user's own images.

>>> from vaelib import data
>>> digits = data.load("digits")
>>> digits
<ImageData digits: 1797 images of 8x8, with labels>
>>> digits.matrix(digits.split("random", seed=0).test).shape
(180, 64)
"""

from vaelib.data.fetch import CACHE_DIR_VARIABLE, DATA_DIR_VARIABLE
from vaelib.data.images import DataError, ImageData, MissingDataError, Plan, Split, binarise
from vaelib.data.sets import NAMES, DataConfig, Prepared, identity, load, prepare

__all__ = ["CACHE_DIR_VARIABLE", "DATA_DIR_VARIABLE", "NAMES", "DataConfig", "DataError", "ImageData"]
__all__ += ["MissingDataError", "Plan", "Prepared", "Split", "binarise", "identity", "load", "prepare"]
