"""`python -m pycaffe train …` is `caffe train …`."""

import sys

from .command import main

sys.exit(main())
