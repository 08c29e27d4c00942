"""A stand-in for ``sglang.test.run_eval`` of 0.5.16."""

import sys

from standin import play

sys.exit(play(sys.argv[1:], sys.argv[sys.argv.index("--eval-name") + 1]))
