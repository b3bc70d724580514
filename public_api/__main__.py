"""`python -m public_api` runs a public API."""

from __future__ import annotations

from public_api.process import main

raise SystemExit(main())
