"""`python -m projector` runs a projector."""

from __future__ import annotations

from projector.process import main

raise SystemExit(main())
