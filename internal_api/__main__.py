"""`python -m internal_api` runs an internal API."""

from __future__ import annotations

from internal_api.process import main

raise SystemExit(main())
