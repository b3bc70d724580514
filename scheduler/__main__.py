"""`python -m scheduler` runs a scheduler."""

from __future__ import annotations

from scheduler.process import main

raise SystemExit(main())
