#!/usr/bin/env python3
"""A stand-in for ``sglang``: the one of ``tests/launch``, with what the command line adds.

Appends the words of ``FAKE_WORDS`` to its arguments, takes the API key from its ``--config`` file
as SGLang does and prints it as SGLang prints its ``server_args``. With ``FAKE_DUMP`` it writes its
arguments and environment to that file as JSON and ends.
"""

import json
import os
import runpy
import sys
from pathlib import Path

if "FAKE_DUMP" in os.environ:
    found = {"argv": sys.argv[1:], "env": dict(os.environ)}
    Path(os.environ["FAKE_DUMP"]).write_text(json.dumps(found))
    sys.exit()
sys.argv += os.environ.get("FAKE_WORDS", "").split()
if "--config" in sys.argv:
    config = Path(sys.argv[sys.argv.index("--config") + 1])
    key = json.loads(config.read_text().partition(": ")[2])
    os.environ["FAKE_API_KEY"] = key
    print(f"server_args=ServerArgs(model_path='/m', api_key='{key}')", flush=True)
runpy.run_path(os.environ["FAKE_SERVER"], run_name="__main__")
