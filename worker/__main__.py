"""`python -m worker` runs a worker."""

from __future__ import annotations

from worker.process import main

raise SystemExit(main())
