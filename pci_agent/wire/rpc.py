"""
The bus: oslo.messaging, set up in one place.

An RPC call is acknowledged to the broker before it is dispatched, so a message may be lost, repeated or
overtaken. The tracker's answer after its commit is the acknowledgement; no answer means "tell again".
A call never waits for a broker to come back (``retry=0``): who has something to tell backs off and tells the
newest state then.
"""

import logging
import sys
import threading
import time
import zlib
from typing import Any, TypeVar

from oslo_config import cfg

# futurist, below oslo.service, imports eventlet where it is installed. Nothing here uses it; it costs 18 MB.
sys.modules.setdefault("eventlet", None)  # type: ignore[arg-type]

from oslo_service import backend  # noqa: E402

# oslo.service starts with eventlet unless told otherwise before oslo.messaging is imported.
backend.init_backend(backend.BackendType.THREADING)

import oslo_messaging  # noqa: E402
from kombu import compression  # noqa: E402
from oslo_messaging import opts  # noqa: E402
from oslo_messaging._metrics import client as metrics  # noqa: E402
from oslo_messaging._tracing import client as tracing  # noqa: E402
from oslo_messaging.rpc.server import RPCServer  # noqa: E402

from pci_agent.errors import AgentSilent, ConfigurationRefused, MessageRefused, Refusal, TrackerSilent  # noqa: E402
from pci_agent.wire.control import (  # noqa: E402
    AllocationAnswer,
    CandidatesAnswer,
    CandidatesQuestion,
    ClaimQuestion,
    ConfirmQuestion,
    DevicesAnswer,
    DevicesQuestion,
    FreeQuestion,
    ShowQuestion,
)
from pci_agent.wire.messages import MOST_BYTES, Answer, Heartbeat, Model, Report, pack, unpack  # noqa: E402
from pci_agent.wire.passing import Passing  # noqa: E402
from pci_agent.wire.refused import Refused  # noqa: E402

TRACKER_TOPIC = "pci-tracker"
AGENT_TOPIC = "pci-agent"
EXCHANGE = "pci"
_VERSION = "1.0"
_GRACE_S = 1.0
_LONGEST_PAUSE_S = 5
_LOST_CALLER_S = 2 * _LONGEST_PAUSE_S
_MOST_NAME = 80
_MOST_INFLATED = 2 * MOST_BYTES

A = TypeVar("A", bound=Model)


def _inflated(body: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    inflated = unpacking.decompress(body, _MOST_INFLATED)
    if unpacking.unconsumed_tail:
        raise ValueError(f"more than {_MOST_INFLATED} bytes inflated")
    return inflated


def _not_inflated(_body: bytes) -> bytes:
    raise ValueError("compressed in a way that isn't read here")


def _limit_inflating() -> None:
    """Have kombu, which inflates whatever its sender says is compressed, do so within limits. Ours is no such thing."""
    codecs: Any = compression
    for kind in codecs.encoders():
        codecs.register(codecs.get_encoder(kind)[0], _not_inflated, kind)
    codecs.register(zlib.compress, _inflated, "application/x-gzip", aliases=["gzip", "zlib"])


def transport(conf: cfg.ConfigOpts, url: str | None = None) -> Any:
    """
    Open the transport that ``[DEFAULT] transport_url`` names, or *url*.

    Connections are made when they are first needed. Call *close* at the end.

    Raises:
        ConfigurationRefused: the URL can't be read, or names a driver that there isn't.
    """
    _limit_inflating()
    oslo_messaging.set_transport_defaults(EXCHANGE)
    for group, options in opts.list_opts():
        conf.register_opts(options, group=group)
    # oslo.messaging registers these two on its global configuration only, and reads them from ours at each call.
    conf.register_opts(metrics.oslo_messaging_metrics, group="oslo_messaging_metrics")
    conf.register_opts(tracing.oslo_messaging_tracing, group="oslo_messaging_tracing")
    conf.set_default("rabbit_quorum_queue", default=True, group="oslo_messaging_rabbit")
    # A caller that is gone would keep a thread for a minute, sixty of them the whole server. One that finds the broker
    # again only later than we do has to be waited for: given up, it gets no answer of ours for a minute.
    conf.set_default("rabbit_interval_max", default=_LONGEST_PAUSE_S, group="oslo_messaging_rabbit")
    conf.set_default("kombu_missing_consumer_retry_timeout", default=_LOST_CALLER_S, group="oslo_messaging_rabbit")
    try:
        return oslo_messaging.get_rpc_transport(conf, url)
    except (oslo_messaging.InvalidTransportURL, oslo_messaging.DriverLoadFailure) as error:
        what, cure = _first_line(error), "write rabbit://user:password@host:5672/virtual-host"
        refusal = Refusal(option="[DEFAULT] transport_url", entry=None, key=None, value="", what=what, cure=cure)
        raise ConfigurationRefused([refusal]) from error


def server(
    bus: Any,
    topic: str,
    host: str,
    *endpoints: object,
    refused: Refused | None = None,
    passing: Passing | None = None,
) -> Any:
    """
    Make a server: the endpoints' public methods answer calls to *topic*; ``start``, ``stop`` and ``wait`` it.

    Args:
        bus: from *transport*
        topic: which calls it answers
        host: its own name among those that answer them
        endpoints: take a context and a body each
        refused: counts the calls that are none of these methods
        passing: which failures of methods are trouble that passes; of others the log has a traceback
    """
    target = oslo_messaging.Target(topic=topic, server=host, version=_VERSION)
    return RPCServer(bus, target, _Dispatcher(endpoints, refused or Refused(), passing or Passing()))


def count_unreadable(refused: Refused) -> None:
    """Count what oslo.messaging can't even take for a call, instead of its traceback for each. Once a process."""
    logging.getLogger("oslo.messaging._drivers.impl_rabbit").addFilter(_Unreadable(refused))


class _Dispatcher(oslo_messaging.RPCDispatcher):  # type: ignore[misc]
    """Refuses by name what is no call of a method that there is; of each, oslo.messaging would log a traceback."""

    def __init__(self, endpoints: tuple[object, ...], refused: Refused, passing: Passing) -> None:
        super().__init__(endpoints, None, oslo_messaging.DefaultRPCAccessPolicy)
        self._refused = refused
        self._passing = passing
        public = ((each, name) for each in endpoints for name in dir(each) if not name.startswith("_"))
        self._methods = {name for each, name in public if callable(getattr(each, name))}

    def dispatch(self, incoming: Any) -> Any:
        """Call the method that a message names."""
        # Signs of life while a call runs: nobody of ours asks for them; who asks amiss ends a thread in a traceback.
        incoming.client_timeout = None
        try:
            self._check(incoming.message)
            return super().dispatch(incoming)
        except MessageRefused as refused:
            self._refused.add(refused)
            raise oslo_messaging.ExpectedException from None
        except self._passing.kinds as trouble:
            self._passing.add(incoming.message["method"], trouble)
            raise oslo_messaging.ExpectedException from None

    def _check(self, message: dict[str, Any]) -> None:
        method, arguments = message.get("method"), message.get("args")
        if not isinstance(method, str) or method not in self._methods or message.get("namespace") is not None:
            called = ascii(method)[:_MOST_NAME]
            raise MessageRefused(f"call: there is no method {called} here", kind="call", why="method")
        if message.get("version") != _VERSION:
            version = ascii(message.get("version"))[:_MOST_NAME]
            what = f"{method}: calls of version {version} can't be read here, {_VERSION} can: upgrade me"
            raise MessageRefused(what, kind=method, why="version")
        if not isinstance(arguments, dict) or arguments.keys() != {"body"}:
            raise MessageRefused(f"{method}: its arguments aren't one body", kind=method, why="foreign")


class _Unreadable(logging.Filter):
    """Counts a failure that oslo.messaging logs, and keeps it from the log."""

    def __init__(self, refused: Refused) -> None:
        super().__init__()
        self._refused = refused

    def filter(self, record: logging.LogRecord) -> bool:
        if not str(record.msg).startswith("Failed to process message"):
            return True
        error = record.exc_info[1] if record.exc_info else None
        what = f"call: not a call of anybody's: {type(error).__name__}: {str(error)[:_MOST_NAME]!a}"
        self._refused.add(MessageRefused(what, kind="call", why="foreign"))
        return False


def close(bus: Any, server: Any = None, *, patience_s: float) -> None:
    """
    Stop a server, let its calls in flight end, and close the bus.

    oslo.messaging waits for its threads here, and those for a broker, so this gives up after *patience_s*
    seconds. What is left then holds nothing that must be kept; end the process with process.serve.
    """

    def closing() -> None:
        if server is not None:
            server.stop()
            server.wait()
        bus.cleanup()

    thread = threading.Thread(target=closing, name="closing", daemon=True)
    thread.start()
    thread.join(patience_s)


class _Calls:
    """
    Calls that end, on a bus where they may not.

    oslo.messaging waits for its first connection without limit, whatever its time-outs say. So each call has a thread
    of its own, which is given up after a while; while one hangs that was given up, no other is begun. What hung is
    sent all the same once the broker is there: a late message like any other. Any number of threads may call.
    """

    def __init__(self, bus: Any, topic: str, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._hanging: set[threading.Thread] = set()
        self._lock = threading.Lock()
        # at_least_once makes the broker say at once that nobody has ever listened; it repeats nothing.
        self._client = oslo_messaging.get_rpc_client(
            bus,
            oslo_messaging.Target(topic=topic, version=_VERSION),
            timeout=timeout_s,
            retry=0,
            transport_options=oslo_messaging.TransportOptions(at_least_once=True),
        )

    def call(self, method: str, body: str, server: str | None = None) -> Any:
        """
        Call whichever server is free, or the one of that name.

        Raises:
            _NoAnswer: none came in time; whether the message arrived isn't known.
        """
        if self._is_stuck():
            raise _NoAnswer("no broker answers; look for its address in the log, and at transport_url")
        answers: list[Any] = []
        errors: list[Exception] = []
        client = self._client if server is None else self._client.prepare(server=server)

        def calling() -> None:
            try:
                answers.append(client.call({}, method, body=body))
            except Exception as error:  # noqa: BLE001 - oslo.messaging, kombu, the socket, or the other's, under any name
                errors.append(error)

        thread = threading.Thread(target=calling, name="calling", daemon=True)
        thread.start()
        thread.join(self._timeout_s + _GRACE_S)
        if errors:
            raise _NoAnswer(f"{type(errors[0]).__name__}: {_first_line(errors[0])}") from errors[0]
        if not answers:
            with self._lock:
                self._hanging.add(thread)
            raise _NoAnswer(f"no broker answers in {self._timeout_s} s; it is tried on")
        return answers[0]

    def _is_stuck(self) -> bool:
        """Wait a while for calls that hang, and tell whether one still does."""
        deadline = time.monotonic() + self._timeout_s
        with self._lock:
            hanging = tuple(self._hanging)
        for thread in hanging:
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            self._hanging = {thread for thread in self._hanging if thread.is_alive()}
            return bool(self._hanging)


class _NoAnswer(Exception):
    """Nothing came back; the text says what is known of why."""


class TrackerClient:
    """Tells trackers what an agent has to say, one message at a time. Whichever tracker is free answers."""

    def __init__(self, bus: Any, *, timeout_s: float) -> None:
        self._calls = _Calls(bus, TRACKER_TOPIC, timeout_s)

    def tell(self, message: Report | Heartbeat) -> Answer:
        """
        Call a tracker and wait for its answer.

        Raises:
            TrackerSilent: no broker, no tracker, or no answer in time; the message may have arrived or not.
            MessageRefused: something answered that is no tracker of ours.
        """
        method = "report" if isinstance(message, Report) else "heartbeat"
        try:
            body = self._calls.call(method, pack(message))
        except _NoAnswer as silence:
            raise TrackerSilent(str(silence)) from silence
        return unpack(Answer, body)


class AgentClient:
    """Has agents carry out commands, each at its own host. Any number of threads may call."""

    def __init__(self, bus: Any, *, timeout_s: float) -> None:
        self._calls = _Calls(bus, AGENT_TOPIC, timeout_s)

    def call(self, host: str, verb: str, command: Model, answer: type[A]) -> A:
        """
        Call the agent of a host and wait for its answer.

        Args:
            host: the hypervisor's name
            verb: which method of agent.endpoint or inspect.inquiries
            command: its message
            answer: what it answers with

        Raises:
            AgentSilent: no broker, no agent, or no answer in time; the command may have been carried out or not.
            MessageRefused: something answered that is no agent of ours.
        """
        try:
            body = self._calls.call(verb, pack(command), server=host)
        except _NoAnswer as silence:
            raise AgentSilent(f"{host}: {silence}") from silence
        return unpack(answer, body)


class ControlClient:
    """Asks trackers to give devices out, for controllers. Any number of threads may call."""

    def __init__(self, bus: Any, *, timeout_s: float) -> None:
        self._calls = _Calls(bus, TRACKER_TOPIC, timeout_s)

    def candidates(self, question: CandidatesQuestion) -> CandidatesAnswer:
        """Ask which hosts could serve requests now."""
        return self._ask("candidates", question, CandidatesAnswer)

    def claim(self, question: ClaimQuestion) -> AllocationAnswer:
        """Claim devices for an instance; it may take as long as some agents' time-outs."""
        return self._ask("claim", question, AllocationAnswer)

    def confirm(self, question: ConfirmQuestion) -> AllocationAnswer:
        """Make what was claimed the instance's own."""
        return self._ask("confirm", question, AllocationAnswer)

    def free(self, question: FreeQuestion) -> AllocationAnswer:
        """Take back what an instance has."""
        return self._ask("free", question, AllocationAnswer)

    def show_allocation(self, question: ShowQuestion) -> AllocationAnswer:
        """Ask how an instance's requests stand."""
        return self._ask("show_allocation", question, AllocationAnswer)

    def list_devices(self, question: DevicesQuestion) -> DevicesAnswer:
        """List devices of a host, an instance, or of one name."""
        return self._ask("list_devices", question, DevicesAnswer)

    def _ask(self, method: str, question: Model, answer: type[A]) -> A:
        """
        Call a tracker and wait for its answer.

        Raises:
            TrackerSilent: no broker, no tracker, or no answer in time. Ask the same again: it may be done or not.
            MessageRefused: something answered that is no tracker of ours.
        """
        try:
            body = self._calls.call(method, pack(question))
        except _NoAnswer as silence:
            raise TrackerSilent(str(silence)) from silence
        return unpack(answer, body)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")[:200]
