"""Settings of the whole suite."""

from __future__ import annotations

import os

from hypothesis import settings

# A busy machine fails no property test by its clock, and CI tries the same examples every time.
settings.register_profile("steady", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("steady")
