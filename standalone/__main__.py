"""`python -m standalone` runs every role; `playlog dev` starts it."""

from __future__ import annotations

from standalone.process import main

raise SystemExit(main())
