"""``python -m sim.theory.verifier FILE...``, and ``python -m verifier FILE...`` beside a copy of this folder."""

import sys

from . import main

sys.exit(main(sys.argv[1:]))
