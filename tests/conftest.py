"""For all tests."""

from __future__ import annotations

from hypothesis import settings

# No test fails for being slow: the machine may be busy.
settings.register_profile("zarrlink", settings.get_profile(settings.get_current_profile_name()), deadline=None)
settings.load_profile("zarrlink")
