"""The command-line flags of every SGLang release that serves Gemma 4, and a parser over them.

``table`` holds what a flag is and loads the committed tables, ``parse`` judges a command line with
one, ``history`` knows which releases have a flag, ``installed`` and ``extract`` read the table of
an SGLang source tree without importing it.
"""
