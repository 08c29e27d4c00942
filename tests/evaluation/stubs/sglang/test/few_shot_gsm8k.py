"""A stand-in for ``sglang.test.few_shot_gsm8k`` of 0.5.16."""

import sys

from standin import play

sys.exit(play(sys.argv[1:], "few_shot"))
