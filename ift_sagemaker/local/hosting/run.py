"""One endpoint, served and watched by its supervisor until it is deleted or lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from ift_sagemaker.local.hosting import document as endpoint_document
from ift_sagemaker.local.hosting.asynchronous import MAX_INVOCATION
from ift_sagemaker.local.hosting.backlog import DELETED, Backlog
from ift_sagemaker.local.hosting.fleet import Fleet
from ift_sagemaker.local.hosting.server import EndpointLost, Site, free_port
from ift_sagemaker.local.logs.shipping import Events, ship_traceback
from ift_sagemaker.local.running.runner import Runner
from ift_sagemaker.local.state.resources import ENDPOINT, Document
from ift_sagemaker.local.state.settings import Context, LocalSettings
from ift_sagemaker.local.supervision.breakage import broken
from ift_sagemaker.local.supervision.folders import Workplace
from ift_sagemaker.local.supervision.leases import Lease
from ift_sagemaker.local.supervision.slots import Slots
from ift_sagemaker.local.supervision.waiting import Time
from ift_sagemaker.local.supervision.watch import TICK_IN_SECONDS, TURN_IN_SECONDS
from ift_sagemaker.local.weather.profile import deletion_delay

SLOT_TIMEOUT = 600.0
ASYNC_GRACE = 300.0
"""Seconds that an asynchronous request has for its way from and to S3, besides those of the container."""
LONGEST_PAUSE = 60.0


class DeleteAsked(Exception):  # noqa: N818 - an event, not an error
    """DeleteEndpoint was called."""


@dataclass
class _Retiring:
    """A fleet that traffic has left: it ends once quiet, not before `earliest` and not after `latest`."""

    fleet: Fleet
    earliest: float
    latest: float
    stopped: bool = False


class EndpointRun:
    """Takes an endpoint from Creating to its deletion or failure."""

    def __init__(
        self,
        context: Context,
        endpoint: Document,
        runner: Runner,
        waits: Time | None = None,
        find_port: Callable[[], int] | None = None,
    ) -> None:
        self._context = context
        self._endpoint = endpoint
        self._name: str = endpoint["EndpointName"]
        self._waits = waits or Time()
        self._place = Workplace.of(context.store.root, ENDPOINT, self._name)
        self._site = Site(
            context=context,
            endpoint=self._name,
            runner=runner,
            place=self._place,
            waits=self._waits,
            find_port=find_port or free_port,
            on_start=self._record_programs,
        )
        self._fleet: Fleet | None = None
        self._next: Fleet | None = None
        self._deployment: Document | None = None
        self._retiring: list[_Retiring] = []
        self._backlog = Backlog(context, endpoint, self._place, self._ship)
        self._shown: dict[str, int | None] = {}
        self._next_look = 0.0
        self._slot_deadline = 0.0

    def run(self) -> None:
        """Returns when the endpoint is gone or has failed."""
        try:
            self._run()
        except DeleteAsked:
            self._remove()
        except EndpointLost as error:
            self._fail(str(error))
        except Exception as error:  # noqa: BLE001 - whatever broke ends this endpoint, and is told in full
            ship_traceback(self._ship, self._context.clock())
            self._fail(broken(error))

    def _run(self) -> None:
        slots = Slots(self._context.store.root, ENDPOINT, self._context.settings.endpoint_slots)
        self._slot_deadline = self._waits.monotonic() + SLOT_TIMEOUT
        try:
            slot = slots.wait(self._name, self._look_before_waiting, self._waits.sleep)
        finally:
            slots.leave(self._name)
        self._with_slot(slot)

    def _look_before_waiting(self) -> None:
        self._look()
        if self._waits.monotonic() >= self._slot_deadline:
            count = self._context.settings.endpoint_slots
            raise EndpointLost(
                f"Unable to provision requested compute capacity: all {count} endpoint slots are taken;"
                " delete an endpoint or set IFT_LOCAL_ENDPOINT_SLOTS"
            )

    def _with_slot(self, slot: Lease) -> None:
        with ExitStack() as ending:
            ending.callback(slot.release)
            ending.callback(self._end_all)
            self._fleet = Fleet(self._site, self._endpoint["_fleet"])
            while True:
                self._turn(self._fleet)

    # -- one turn

    def _turn(self, fleet: Fleet) -> None:
        fleets = self._fleets()
        for one in fleets:
            one.turn(TURN_IN_SECONDS / len(fleets))
        self._show(fleet)
        self._go_on_with_update(fleet)
        self._retire()
        self._backlog.turn(fleet)
        there = self._look()
        if there is not None and self._next is None and "_next" in there:
            self._deployment = there["_next"]["deployment"]
            self._next = Fleet(self._site, there["_next"]["fleet"])

    def _fleets(self) -> list[Fleet]:
        own = [fleet for fleet in (self._fleet, self._next) if fleet is not None]
        return [*own, *(retiring.fleet for retiring in self._retiring)]

    def _show(self, fleet: Fleet) -> None:
        """Tells where the endpoint answers; raises EndpointLost where it does no longer."""
        if fleet.lost is not None:
            raise EndpointLost(fleet.lost)
        ports = fleet.ports
        if ports == self._shown:
            return
        if fleet.is_healthy and not any(self._shown.values()):
            self._update(lambda there, now: endpoint_document.in_service(there, ports, now))
        elif self._shown:
            self._update(lambda there, _: endpoint_document.serving(there, ports))
        else:  # a first fleet is told of when all of it is healthy
            return
        self._shown = ports

    def _go_on_with_update(self, fleet: Fleet) -> None:
        following = self._next
        if following is None:
            return
        if following.lost is not None:
            reason = following.lost
            self._update(lambda there, now: endpoint_document.rolled_back(there, reason, now))
            self._let_go(following, 0.0)
            self._next = None
        elif following.is_healthy:
            ports = following.ports
            self._update(lambda there, now: endpoint_document.updated(there, ports, now))
            self._fleet, self._next, self._shown = following, None, ports
            self._let_go(fleet, termination_wait(self._deployment))

    def _let_go(self, fleet: Fleet, wait: float) -> None:
        now, patience = self._waits.monotonic(), longest_request(self._context.settings, fleet.async_config)
        self._retiring.append(_Retiring(fleet, now + wait, now + wait + patience))

    def _retire(self) -> None:
        now = self._waits.monotonic()
        for one in self._retiring:
            if not one.stopped and now >= one.earliest and (one.fleet.is_quiet or now >= one.latest):
                one.fleet.stop()
                one.stopped = True
            if one.fleet.is_gone:
                one.fleet.clear()
        self._retiring = [one for one in self._retiring if not one.fleet.is_gone]

    def _look(self) -> Document | None:
        """The endpoint as it is stored, from time to time; raises DeleteAsked."""
        now = self._waits.monotonic()
        if now < self._next_look:
            return None
        self._next_look = now + TICK_IN_SECONDS
        there = self._context.store.get(ENDPOINT, self._name)
        if there is None or there["EndpointStatus"] == "Deleting":
            raise DeleteAsked
        return there

    # -- the end

    def _end_all(self) -> None:
        """Ends every fleet, whatever breaks over another one, and at last by force."""
        fleets = self._fleets()
        records = [record for fleet in fleets for record in fleet.records()]
        self._backlog.close()
        with ExitStack() as ending:
            ending.callback(self._backlog.join)
            ending.callback(self._site.runner.end_remains, records, self._place.home)
            for fleet in fleets:
                ending.callback(self._end, fleet)
            for fleet in fleets:
                fleet.stop()

    @staticmethod
    def _end(fleet: Fleet) -> None:
        fleet.stop()
        while not fleet.is_gone:
            fleet.turn(TURN_IN_SECONDS)

    def _abandon(self, reason: str) -> None:
        """Tells all requests that are left, before the endpoint is gone: a kill meanwhile loses none."""
        pause = TICK_IN_SECONDS
        while not self._backlog.abandon(reason):
            self._waits.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _remove(self) -> None:
        self._place.remove()
        if delay := deletion_delay(self._context.settings):
            self._waits.sleep(delay)
        self._abandon(DELETED)
        self._context.store.delete(ENDPOINT, self._name)

    def _fail(self, reason: str) -> None:
        self._place.remove()
        self._update(lambda endpoint, _: endpoint_document.closed(endpoint))
        self._abandon(f"The endpoint has failed: {reason}")
        there = self._update(lambda endpoint, now: endpoint_document.failed(endpoint, reason, now))
        if there is not None and there["EndpointStatus"] == "Deleting":
            self._remove()

    # -- the store

    def _update(self, change: Callable[[Document, float], Document]) -> Document | None:
        now = self._context.clock()
        with suppress(KeyError):
            return self._context.store.update(ENDPOINT, self._name, lambda there: change(there, now))
        return None

    def _record_programs(self) -> None:
        records = [record for fleet in self._fleets() for record in fleet.records()]
        self._update(lambda there, _: {**there, "_programs": records})

    def _ship(self, events: Events) -> None:
        group = endpoint_document.log_group(self._name)
        stream = self._endpoint["_fleet"]["variants"][0]["log_stream"]
        self._context.store.append_log_events(group, stream, events)


def longest_request(settings: LocalSettings, async_config: Document | None) -> float:
    """Seconds after which no request can be under way any more at a fleet that traffic has left."""
    if async_config:
        return MAX_INVOCATION + ASYNC_GRACE
    return max(settings.invocation_in_seconds, settings.stream_in_seconds)


def termination_wait(deployment: Document | None) -> float:
    """Seconds that an old fleet stays after traffic has left it."""
    policy = (deployment or {}).get("BlueGreenUpdatePolicy", {})
    return float(policy.get("TerminationWaitInSeconds", 0))
