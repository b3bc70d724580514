"""`python -m publisher` runs a publisher."""

from __future__ import annotations

from publisher.process import main

raise SystemExit(main())
