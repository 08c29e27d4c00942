"""``gemma4ctl verify``: prove that a running endpoint does what Gemma 4 should.

- :mod:`~gemma4ctl.verify.run`: the checks one after the other, also behind ``serve --verify``
- :mod:`~gemma4ctl.verify.checks`: what is checked
- :mod:`~gemma4ctl.verify.faults`: what can be found, each with its code
- :mod:`~gemma4ctl.verify.content`: what random weights leave open
- :mod:`~gemma4ctl.verify.client`: requests through the official client, kept byte by byte
- :mod:`~gemma4ctl.verify.reply`: answers in the API's terms, checked strictly
- :mod:`~gemma4ctl.verify.text`, :mod:`~gemma4ctl.verify.document`,
  :mod:`~gemma4ctl.verify.junit`: the report for people, programs and CI
- :mod:`~gemma4ctl.verify.examples`: the same requests as files to run
"""
