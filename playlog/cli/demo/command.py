"""`playlog demo`."""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import aiohttp
import typer
from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from engine.errors import Misconfigured
from playlog.cli.command import command
from playlog.cli.demo.proof import Evidence, collect
from playlog.cli.demo.story import CHAPTERS, Told, tell
from playlog.cli.dev import engine
from playlog.cli.dev.engine import Engine, Voices, kill
from playlog.cli.dev.layout import DevSettings, Wanted
from playlog.cli.dev.lines import render
from playlog.cli.dev.ports import HOST, Ports
from playlog.cli.dev.processes import ROOT, Plan, Supervised, plain_environment
from playlog.cli.dev.signals import until_signal
from playlog.cli.failures import EXPECTED, FAILED, INTERRUPTED, OK
from playlog.cli.live import print_event
from playlog.cli.session import Session
from playlog.client import Client

FIRST_PORTS = (18080, 18081)
FIRST_HEALTH_PORT = 19080
SERVICE_PORT = 8099
SERVICE = "playbooks.examples.service"
SERVICE_SECONDS = 20.0
SEQUENTIAL_STEP = "greet"


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    command(app)(demo)


async def demo(
    session: Session,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the data there. Default: nothing is kept.")
    ] = None,
) -> int:
    """Start everything in a temporary place, run the examples, and check what the log holds."""
    if session.json:
        raise Misconfigured("the demo is made for people; leave --output json away")
    stage = Stage(console=session.console)
    with _home(keep) as home:
        done = await until_signal(
            stage.perform(home),
            stopping=lambda: session.say("stopping"),
            hurry=lambda: kill(stage.processes.values()),
        )
    if keep is not None:
        session.say(f"the data is kept; go on with: playlog dev --home {keep}")
    return INTERRUPTED if done is None else done


@contextmanager
def _home(keep: Path | None) -> Iterator[Path]:
    """A place for the data: the one that is kept, or one that goes away."""
    if keep is not None:
        yield keep
        return
    folder = Path(tempfile.mkdtemp(prefix="playlog-demo-"))
    try:
        folder.chmod(0o755)
        yield folder / ".playlog"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(slots=True, kw_only=True)
class Stage:
    """One performance: what runs, and what its processes wrote, shown only when something is wrong."""

    console: Console
    processes: dict[str, Supervised] = field(default_factory=dict)
    heard: deque[Text] = field(default_factory=lambda: deque(maxlen=40))

    async def perform(self, home: Path) -> int:
        """Start, play, prove and stop; returns the exit code."""
        self.console.print("starting PostgreSQL, NATS and six processes ...", style="dim")
        voices = Voices(say=self._note, emit=self._emit)
        port = Ports(self._note).near(SERVICE_PORT)
        service = f"{HOST}:{port}"
        wanted = Wanted(
            home=home,
            tasks_path=ROOT,
            http_allow=(service,),
            first_ports=FIRST_PORTS,
            first_health_port=FIRST_HEALTH_PORT,
            isolated=True,
        )
        try:
            async with engine.running(
                wanted, DevSettings.model_construct(), voices, self.processes
            ) as started:
                self.console.print(f"ready after {started.seconds:.1f} s\n", style="dim")
                faults = await self._play(started, port)
        except EXPECTED:
            self._confess()
            raise
        if faults:
            self._confess()
        for fault in faults:
            self.console.print(Text(f"wrong: {fault}", style="bold red"))
        self._conclude(wrong=bool(faults))
        return FAILED if faults else OK

    async def _play(self, started: Engine, port: int) -> list[str]:
        """Run the examples against their service, and return what is wrong."""
        plan = Plan(
            name="service",
            package=SERVICE,
            arguments=("--port", str(port)),
            environment=plain_environment(),
            ready_url=f"http://{HOST}:{port}/published",
        )
        shop = Supervised(plan=plan, emit=self._emit, say=self._note)
        try:
            shop.start()
            async with aiohttp.ClientSession() as session:
                await shop.ready(session, SERVICE_SECONDS)
            async with Client(started.layout.public_url, "") as client:
                told = [await tell(client, self.console, each, f"{HOST}:{port}") for each in CHAPTERS]
                evidence = await self._prove(client, started, told)
        finally:
            await shop.stop()
        return [fault for each in told for fault in each.faults] + show(self.console, evidence)

    async def _prove(self, client: Client, started: Engine, told: list[Told]) -> Evidence:
        return await collect(
            client,
            internal_url=started.layout.internal_url,
            token=started.layout.token,
            nats_url=started.servers.nats_url,
            sequential=(told[0].execution["execution_id"], SEQUENTIAL_STEP),
        )

    def _emit(self, process: str, line: str) -> None:
        self.heard.append(render(process, line))

    def _note(self, text: str) -> None:
        self.heard.append(Text(text))

    def _confess(self) -> None:
        """Show the last lines of the processes."""
        self.console.print("\nthe last lines of the processes:", style="bold")
        for line in self.heard:
            self.console.print(line, soft_wrap=True)

    def _conclude(self, *, wrong: bool) -> None:
        if not wrong:
            self.console.print("everything is as it should be", style="bold green")


def show(console: Console, evidence: Evidence) -> list[str]:
    """Show what was found, and return what does not fit."""
    console.print(Rule(Text("what was recorded", style="bold"), align="left"))
    events, messages = len(evidence.log), evidence.messages
    checks = [
        (evidence.log_is_gapless(), f"{events} events in the log, versions without a gap"),
        (
            evidence.stream_is_complete(),
            f"{messages} messages in the stream with {evidence.stream.total()} events, each exactly once",
        ),
        (evidence.snapshots_are_true(), _snapshots(evidence)),
        (evidence.steps_are_three_events(), f"three events for a step, here {SEQUENTIAL_STEP} of hello:"),
    ]
    for right, text in checks:
        mark = ("ok     ", "green") if right else ("WRONG  ", "bold red")
        console.print(Text.assemble(mark, text), soft_wrap=True)
    for event in evidence.sequential:
        print_event(console, event, numbered=True)
    console.print()
    return [text.rstrip(":") for right, text in checks if not right]


def _snapshots(evidence: Evidence) -> str:
    total = len(evidence.executions)
    return f"{evidence.verified} of {total} snapshots equal a fresh fold of the log"
