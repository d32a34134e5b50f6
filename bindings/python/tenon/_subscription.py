"""Subscriptions: a program follows a model in a store, and changes over to a new version while it runs.

    sub = tenon.Subscription("models", "press@stable", sessions=4)
    answer = sub.run({"x": x})  # each request, on any of four threads
    while sub.wait(3600) or True:  # on a thread that has nothing else to do
        sub.poll()

A version is loaded, its self-test run, its sessions warmed and `check` asked, all beside the one that serves. On trial it
goes back by itself if too many requests fail. tenon/subscription.h tells all of it.
"""
from __future__ import annotations

import ctypes
import os
import threading
import time
from contextlib import contextmanager
from ctypes import POINTER, byref, c_bool, c_char_p, c_int, c_int64, c_uint64, c_size_t, c_void_p
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, Tuple

from ._files import Path
from ._library import CheckFailed, Error, Handle, ModelOptions, SessionOptions, create, declare, lib, number_of
from ._model import Model, Results, Session, _model_options
from ._store import Version, VersionStruct, _version

_SLICE = 0.2  # seconds that a wait in the library takes at most, so that Ctrl-C ends it


class MqttOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        *((name, c_char_p) for name in ("broker", "topic", "user", "ca_file", "certificate_file", "key_file")),
        ("spread_ms", c_int),
        ("wait_ms", c_int),
    ]


_WARM = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p)
_CHECK = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(VersionStruct), c_void_p)
_CLOCK = ctypes.CFUNCTYPE(c_int64, c_void_p)


class SubscriptionOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("model", POINTER(ModelOptions)),
        ("session", POINTER(SessionOptions)),
        ("sessions", c_int),
        ("warm", _WARM),
        ("check", _CHECK),
        ("context", c_void_p),
        ("trial_requests", c_int),
        ("most_failures", c_int),
        ("require_self_test", c_bool),
        ("from_", c_char_p),
        ("most_fetched", c_uint64),
        ("mqtt", POINTER(MqttOptions)),
        ("window", c_char_p),
        ("clock", _CLOCK),
    ]


class LeaseStruct(ctypes.Structure):
    _fields_ = [("session", c_void_p), ("version", VersionStruct), ("owner", c_void_p)]


class StateStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("version", VersionStruct),
        ("on_trial", c_bool),
        ("can_roll_back", c_bool),
        ("blocked", c_int),
        ("requests", c_uint64),
        ("failures", c_uint64),
        ("changes", c_uint64),
        ("rollbacks", c_uint64),
        ("waiting", c_bool),
    ]


_HANDLE, _REFUSED = c_void_p, number_of(CheckFailed)
declare(
    {
        "tn_subscription_open": (None, (c_char_p, c_char_p, POINTER(SubscriptionOptions), POINTER(c_void_p))),
        "tn_subscription_close": (type(None), (_HANDLE,)),
        "tn_subscription_poll": (None, (_HANDLE, POINTER(c_bool))),
        "tn_subscription_wait": (None, (_HANDLE, c_int, POINTER(c_bool))),
        "tn_subscription_wake": (type(None), (_HANDLE,)),
        "tn_subscription_follow": (None, (_HANDLE, c_char_p)),
        "tn_subscription_rollback": (None, (_HANDLE,)),
        "tn_subscription_acquire": (None, (_HANDLE, POINTER(LeaseStruct))),
        "tn_subscription_release": (type(None), (_HANDLE, POINTER(LeaseStruct), c_bool)),
        "tn_subscription_info": (None, (_HANDLE, POINTER(StateStruct))),
        "tn_mqtt_announce": (None, (POINTER(MqttOptions), c_char_p)),
    }
)


def _mqtt_options(broker: str, topic: str, **options: Any) -> MqttOptions:
    raw = MqttOptions(ctypes.sizeof(MqttOptions), broker.encode(), topic.encode())
    for name, value in options.items():
        if not hasattr(MqttOptions, name):
            raise TypeError(f"there is no option '{name}'")
        setattr(raw, name, os.fsencode(value) if isinstance(value, (str, os.PathLike)) else value)
    return raw


def announce(text: str, broker: str, topic: str, **options: Any) -> None:
    """Wakes those who listen to the topic. broker: "mqtts://HOST[:PORT]" or "mqtt://..."; options: user, ca_file,
    certificate_file, key_file, as tenon/mqtt.h has them. Nobody trusts what is announced."""
    lib.tn_mqtt_announce(byref(_mqtt_options(broker, topic, **options)), text.encode())


@dataclass(frozen=True)
class State:
    """Of a subscription: the version that serves, requests of it and those that failed; changes since the start."""

    version: Version
    on_trial: bool
    can_roll_back: bool
    blocked: int  #: versions that were refused or rolled back
    requests: int
    failures: int
    changes: int
    rollbacks: int
    waiting: bool  # for the window: the last poll found another version


@dataclass(frozen=True)
class Lease:
    """One request's session, and the version that it is of."""

    session: Session
    version: Version

    def run(self, inputs: Any = (), outputs: Optional[Sequence[str]] = None) -> Results:
        """Session.run; outputs are copies."""
        return self.session.run(inputs, outputs)


class Subscription:
    """Follows a reference of a store: a channel "press@stable", a range "press:^1.2", one version "press:1.2.0", or the
    newest of a name.

    Any threads may run, lease and wake at once, also while another polls or waits.
    """

    def __init__(
        self,
        store: Path,
        reference: str,
        *,
        sessions: int = 1,
        threads: int = 1,
        cpu: Optional[str] = None,
        precision: str = "full",
        packed: Optional[Path] = None,
        warm: Any = None,
        check: Optional[Callable[[Version, Session], Any]] = None,
        trial_requests: int = 0,
        most_failures: int = 0,
        require_self_test: bool = False,
        from_store: Optional[Path] = None,
        most_fetched: int = 0,
        mqtt: Optional[Mapping[str, Any]] = None,
        window: Optional[str] = None,
    ) -> None:
        """Opens the store and loads what the reference names.

        sessions: requests that may run at once.  threads, cpu, precision, packed: as of tenon.load.
        warm: inputs of a version's first run, as Session.run takes them; None: zeros, with sizes that are open being 1.
        check: is called with a version and a session of it after its first run; what it raises, or False, refuses it.
        trial_requests, most_failures: a new version that fails more often in so many requests (0: 100) goes again.
        from_store: the folder of another store that is looked into first, as a USB stick's; most_fetched: no more bytes.
        mqtt: what wakes a wait: dict(broker="mqtts://...", topic=...), and the options of tenon.announce.
        window: the times of the week at which versions may change: "Mon-Fri 22:00-05:00; Sun 00:00-24:00 UTC".
        """
        self._models: Dict[Tuple[int, str], Model] = {}
        self._kept: Dict[int, Session] = {}  # by session: what it borrows of its last request
        self._lock = threading.Lock()  # of these two
        self._raised: Optional[BaseException] = None
        self._warm_inputs, self._check = warm, check
        self._callbacks = (_WARM(self._warm), _CHECK(self._ask))
        model = _model_options(cpu, 0, (), precision, packed=packed)
        session = SessionOptions(ctypes.sizeof(SessionOptions), None, threads)
        listen = None if mqtt is None else _mqtt_options(**mqtt)
        raw = SubscriptionOptions(ctypes.sizeof(SubscriptionOptions))
        raw.model, raw.session = ctypes.pointer(model), ctypes.pointer(session)
        raw.sessions, raw.trial_requests, raw.most_failures = sessions, trial_requests, most_failures
        raw.require_self_test, raw.most_fetched = require_self_test, most_fetched
        raw.from_ = None if from_store is None else os.fsencode(from_store)
        if warm is not None:
            raw.warm = self._callbacks[0]
        if check is not None:
            raw.check = self._callbacks[1]
        raw.window = None if window is None else window.encode()
        if listen is not None:
            raw.mqtt = ctypes.pointer(listen)
        self._options = raw, model, session  # what they point to must stay
        self._handle: Optional[Handle] = None
        words = os.fsencode(store), reference.encode(), byref(raw)
        self._handle = self._changing(create, lib.tn_subscription_open, lib.tn_subscription_close, *words)

    # A version that is being loaded asks us things; what we raise there comes out of the call that loads it.

    def _changing(self, function: Any, *words: Any) -> Any:
        try:
            return function(*words)
        except Error as refusal:
            raised, self._raised = self._raised, None
            if raised is None:
                raise
            raise refusal from raised

    def _answer(self, ask: Callable[[], Any]) -> int:
        try:
            return 0 if ask() is not False else _REFUSED
        except BaseException as error:
            self._raised = error
            return _REFUSED

    def _session(self, pointer: int, digest: str) -> Session:
        """A session of the library's; it borrows inputs, which are kept until its next request."""
        place = lib.tn_session_model(pointer), digest
        with self._lock:
            model = self._models.get(place)
            if model is None:
                while len(self._models) > 3:  # no more versions are there at once
                    self._models.pop(next(iter(self._models)))
                model = self._models[place] = Model(Handle(place[0], _nothing), {})
        return Session._of(model, Handle(pointer, _nothing, *(self._handle,) if self._handle else ()))

    def _warm(self, context: Any, pointer: int) -> int:
        session = self._session(pointer, "")
        with self._lock:
            self._models.clear()  # whose version it is, it does not say
        self._keep(session)
        return self._answer(lambda: session._set_all(self._warm_inputs) or True)

    def _ask(self, context: Any, version: Any, pointer: int) -> int:
        known = _version(version.contents)
        session = self._session(pointer, known.digest)
        self._keep(session)
        return self._answer(lambda: self._check(known, session))

    def _keep(self, session: Session) -> None:
        """What it borrows stays until its next request; of sessions that are gone, until others have come."""
        with self._lock:
            self._kept.pop(session._pointer, None)
            self._kept[session._pointer] = session
            while len(self._kept) > 3 * self._options[0].sessions:
                self._kept.pop(next(iter(self._kept)))

    def poll(self) -> bool:
        """Looks whether the reference names another version now, and changes over to it; whether it did. Raises, and goes
        on with the version that serves, if the store cannot be read or the new version is refused."""
        changed = c_bool()
        self._changing(lib.tn_subscription_poll, self._handle.pointer, byref(changed))
        return changed.value

    def wait(self, seconds: float) -> bool:
        """Waits for so long, or until something is announced or `wake` is called; whether that was so. Raises in the end
        if nothing could be heard all the time."""
        end, woken, deaf = time.monotonic() + seconds, c_bool(), None
        while not woken.value:
            rest = end - time.monotonic()
            if rest <= 0:
                break
            try:
                deaf = None
                lib.tn_subscription_wait(self._handle.pointer, max(int(min(rest, _SLICE) * 1000), 1), byref(woken))
            except Error as error:
                deaf = error
        if deaf is not None and not woken.value:
            raise deaf
        return woken.value

    def wake(self) -> None:
        """Ends the wait that is under way, or else the next one, at once."""
        lib.tn_subscription_wake(self._handle.pointer)

    def follow(self, reference: str) -> None:
        """Follows another reference from the next poll on: a pinned version, a range, a channel. Forgets what is blocked."""
        lib.tn_subscription_follow(self._handle.pointer, reference.encode())

    def rollback(self) -> None:
        """Back to the version before; the one that served is blocked. StateError if there is none."""
        lib.tn_subscription_rollback(self._handle.pointer)

    @contextmanager
    def lease(self) -> Iterator[Lease]:
        """A session for one request, all of it of one version: `with sub.lease() as lease: lease.run(...)`. What is raised
        within counts against a version on trial. LimitExceeded if all sessions are taken."""
        raw = LeaseStruct()
        lib.tn_subscription_acquire(self._handle.pointer, byref(raw))
        failed = True
        try:
            version = _version(raw.version)
            session = self._session(raw.session, version.digest)
            self._keep(session)
            yield Lease(session, version)
            failed = False
        finally:
            lib.tn_subscription_release(self._handle.pointer, byref(raw), failed)

    def run(self, inputs: Any = (), outputs: Optional[Sequence[str]] = None) -> Results:
        """One request by the version that serves: see Session.run."""
        with self.lease() as lease:
            return lease.run(inputs, outputs)

    @property
    def state(self) -> State:
        raw = StateStruct(ctypes.sizeof(StateStruct))
        lib.tn_subscription_info(self._handle.pointer, byref(raw))
        names = ("on_trial", "can_roll_back", "blocked", "requests", "failures", "changes", "rollbacks", "waiting")
        return State(_version(raw.version), *(getattr(raw, name) for name in names))


def _nothing(pointer: int) -> None:
    """Whose object it is, it destroys it."""
