"""
What every process of the product does alike: read its configuration, log, heed signals, talk to systemd.

An error that the operator has to mend ends a process with one clear text on stderr and exit code 78
(EX_CONFIG), which the units take as "don't start again". What may pass by itself, such as a database that is
away, ends it with 1: start again.
"""

import gc
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stderr
from types import ModuleType
from typing import NoReturn

import sdnotify
from oslo_config import cfg
from oslo_log import log

from pci_agent import __version__
from pci_agent.bell import Bell
from pci_agent.conf import pci
from pci_agent.errors import ConfigurationRefused, PciAgentError, Refusal, StoreRefused

EX_CONFIG = 78


def configuration(
    project: str, groups: Iterable[ModuleType], arguments: Sequence[str], *, description: str, epilog: str | None = None
) -> cfg.ConfigOpts:
    """
    Read the command line and the files that it names, or else those in the usual places.

    Raises:
        ConfigurationRefused: a file can't be read or parsed, or a value is of the wrong type.
    """
    conf = cfg.ConfigOpts()
    log.register_options(conf)
    for group in groups:
        group.register_opts(conf)
    told = io.StringIO()
    try:
        with redirect_stderr(told):
            conf(
                list(arguments),
                project=project,
                prog=project,
                version=__version__,
                description=description,
                epilog=epilog,
                default_config_files=_each_once(cfg.find_config_files(project, project)),
                default_config_dirs=_each_once(cfg.find_config_dirs(project, project)),
            )
        for group in groups:
            _touch(conf, group)
    except (cfg.Error, OSError, UnicodeDecodeError) as error:
        raise ConfigurationRefused([_refusal(error, arguments)]) from error
    except SystemExit as ended:
        if ended.code != 1:
            sys.stderr.write(told.getvalue())
            raise
        # oslo.config ends the process where a file has a bad value of an option that may stand on the command line.
        raise ConfigurationRefused([_refusal(ValueError(told.getvalue()), arguments)]) from ended
    return conf


def settle() -> None:
    """
    Let the garbage collector pass over all that is there by now, which stays for good.

    It would go through that again and again while requests come and go (measured: half the time of a list of a
    thousand devices).
    """
    gc.collect()
    gc.freeze()


def _each_once(places: Iterable[str]) -> list[str]:
    """Keep the first of equal places: oslo.config looks for a project's and a program's, and ours have one name."""
    return list(dict.fromkeys(places))


def device_specs(conf: cfg.ConfigOpts) -> list[str]:
    """
    Give the values of ``[pci] device_spec``: of nova's files where --nova-config names some.

    Raises:
        ConfigurationRefused: a file of nova's can't be read, or both have a whitelist.
    """
    own = list(conf.pci.device_spec)
    if not conf.nova_config:
        return own
    if own:
        raise ConfigurationRefused(
            [
                Refusal(
                    option="[pci] device_spec",
                    entry=None,
                    key=None,
                    value="",
                    what="it stands in a file of pci-agent's own, and --nova-config names another",
                    cure="take it out of the one, or leave --nova-config out",
                )
            ]
        )
    return list(pci_group(conf.nova_config, pci).pci.device_spec)


def pci_group(files: Sequence[str], *groups: ModuleType) -> cfg.ConfigOpts:
    """
    Read the options of *groups*, and nothing else, from files of anybody's.

    Raises:
        ConfigurationRefused: a file can't be read or parsed.
    """
    conf = cfg.ConfigOpts()
    for group in groups:
        group.register_opts(conf)
    arguments = [word for file in files for word in ("--config-file", file)]
    named = [f"of {', '.join(files)}"]
    try:
        conf(arguments, project="nova", default_config_files=[], default_config_dirs=[])
        for group in groups:
            _touch(conf, group)
    except (cfg.Error, OSError, UnicodeDecodeError) as error:
        raise ConfigurationRefused([_refusal(error, named)]) from error
    return conf


def _touch(conf: cfg.ConfigOpts, group: ModuleType) -> None:
    """Read every value once: oslo.config finds a value of the wrong type only then."""
    for option in group.OPTIONS:
        name = getattr(group, "GROUP", None)
        (conf if name is None else conf[name])[option.dest]


def _refusal(error: Exception, arguments: Sequence[str]) -> Refusal:
    what = " ".join(str(error).split())
    if isinstance(error, cfg.ConfigFilesPermissionDeniedError):
        cure = "read it as a user who may, such as root"
    elif isinstance(error, cfg.TemplateSubstitutionError | cfg.NoSuchOptError):
        cure = "name an option that there is; $ in a value is written $$"
    else:
        cure = "mend the file or the option, or name another file with --config-file"
    return Refusal(
        option=f"the configuration ({' '.join(arguments) or 'files in their usual places'})",
        entry=None,
        key=None,
        value="",
        what=what,
        cure=cure,
    )


def is_running_systems(sysfs_root: str) -> bool:
    """Tell whether a path is where this system's sysfs is mounted, wherever that is."""
    try:
        return os.stat(sysfs_root).st_dev == os.stat("/sys").st_dev
    except OSError:
        return False


def set_up_logging(conf: cfg.ConfigOpts, project: str) -> None:
    """Log as the configuration says; to stderr unless it names a file."""
    if not (conf.log_file or conf.log_dir or conf.use_journal):
        conf.set_default("use_stderr", default=True)  # stdout is for answers
    log.setup(conf, project)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def run(main: Callable[[], int | None]) -> int:
    """Run a process to its end; what an operator can mend is told in plain text, without a traceback."""
    try:
        return main() or 0
    except PciAgentError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the last word to whoever started us
        return EX_CONFIG if isinstance(error, ConfigurationRefused | StoreRefused) else 1


def serve(main: Callable[[], int | None]) -> NoReturn:
    """
    Run a daemon to its end, and leave without waiting for threads.

    oslo.messaging may have some that wait for a broker; see rpc.close. All that must be kept is durable by now.
    """
    code = run(main)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def notifier() -> Callable[[str], None]:
    """Give what sends a datagram to systemd, and does nothing where systemd isn't listening."""
    notify: Callable[[str], None] = sdnotify.SystemdNotifier().notify
    return notify


def watchdog_s() -> float | None:
    """Tell how often systemd wants to hear of us, in seconds; None where it doesn't."""
    asked, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not asked.isdigit() or pid not in ("", str(os.getpid())):
        return None
    return int(asked) / 1_000_000


def on_signals(stop: Callable[[], None], reload: Callable[[], None] | None, waiting: Bell) -> None:
    """
    Call *stop* on SIGTERM and SIGINT, *reload* on SIGHUP, in the main thread, which alone may ask for it.

    Args:
        stop: safe in a signal handler
        reload: likewise; None: SIGHUP is left as it is
        waiting: what the main thread waits for; any signal rings it
    """
    waiting.ring_on_signals()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop())
    if reload is not None:
        signal.signal(signal.SIGHUP, lambda *_: reload())


def run_until_stopped(
    loop: Callable[[], None],
    stop: Callable[[], None],
    reload: Callable[[], None],
    *,
    notify: Callable[[str], None],
    within_s: float,
) -> None:
    """
    Run a loop until it ends or a signal says to stop; the process has ended *within_s* seconds after that.

    The loop has a thread of its own, so that signals are heeded whatever it waits for. What it waits for, or what is
    to be closed after it, may hang for ever, a log's lock in its hand; then the process is left as it is. All that must
    be kept is durable by now, and the store stays locked until the end.

    Args:
        loop: ends soon after *stop*, unless something hangs
        stop: called on SIGTERM and SIGINT
        reload: called on SIGHUP
        notify: sends one datagram to systemd
        within_s: counts from the signal
    """
    bell, over = Bell(), False
    failures: list[BaseException] = []

    def end() -> None:
        nonlocal over
        over = True
        bell.ring()

    def running() -> None:
        try:
            loop()
        except BaseException as error:  # noqa: BLE001 - it is raised again where the process ends
            failures.append(error)
        finally:
            end()

    def stopping() -> None:
        stop()
        end()

    on_signals(stopping, reload, bell)
    thread = threading.Thread(target=running, name="loop", daemon=True)
    thread.start()
    while not over:
        bell.wait(None)
    patience = threading.Timer(within_s, os._exit, [0])
    patience.daemon = True
    if not failures:
        patience.start()
        notify("STOPPING=1")
    thread.join()
    if failures:
        patience.cancel()
        raise failures[0]


def wait_until_stopped(notify: Callable[[str], None], status: Callable[[], str]) -> None:
    """
    Say that all is ready, feed the watchdog, and return when a signal asks to stop.

    Args:
        notify: sends one datagram to systemd
        status: words how the process fares; asked at the start, and with the watchdog
    """
    bell, over = Bell(), False

    def stop() -> None:
        nonlocal over
        over = True

    on_signals(stop, None, bell)
    notify(f"READY=1\nSTATUS={status()}")
    every = watchdog_s()
    while not over:
        if not bell.wait(None if every is None else every / 2):
            notify(f"WATCHDOG=1\nSTATUS={status()}")
    notify("STOPPING=1")
