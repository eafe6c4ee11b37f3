"""
Builds what the guest boots: kernel, initrd and a root image, from the host's own Debian suite and mirrors.

The result lies under the recipe's hash: another recipe is another folder, so a change of this file or of what
is baked in from in_guest/ builds anew. The kernel is unpacked from its bzImage and booted by PVH, which saves
seconds of emulated decompression. What libvirtd asks of QEMU before its first domain is asked at build time,
without emulation, and kept in its cache, which saves seconds in each lab.
"""

import fcntl
import hashlib
import lzma
import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
CACHE = PROJECT / ".lab"

_PACKAGES = (
    "udev kmod python3 iproute2 pciutils ethtool procps busybox-static libvirt-daemon-system libvirt-clients"
    " python3-libvirt qemu-system-x86"
).split()
_INITRD_MODULES = "virtio_pci virtio_blk ext4".split()
_MODULES = (
    "virtio_pci virtio_blk virtio_net virtio_console ext4 9p 9pnet_virtio igb igbvf e1000e nvme vfio vfio_pci"
    " vfio_iommu_type1 pci-pf-stub macvtap macvlan bridge tun veth 8021q bonding dummy af_packet fuse loop"
    " nf_tables overlay vhost_net kvm"
).split()
_BAKED = (HERE / "recipe.py", HERE / "in_guest/lab-init", HERE / "in_guest/initrd-init")
_SPACE = 3 * 1024**3
_IMAGE_BYTES = 1400 * 1024**2


class LabError(Exception):
    """Something the lab needs is missing or went wrong; the text says what, and how to go on."""


@dataclass(frozen=True)
class Build:
    """What the guest boots, and which Python it has, as in "3.11"."""

    kernel: Path
    initrd: Path
    image: Path
    python: str


def find() -> Build:
    """
    Give the build of this recipe.

    Raises:
        LabError: there is none yet.
    """
    built = _built(_folder())
    if built is None:
        raise LabError("the lab isn't built, or its recipe has changed: run tools/lab build")
    return built


def build() -> Build:
    """Build what is missing, one at a time in a checkout; gives the build at once where nothing is."""
    folder = _folder()
    built = _built(folder)
    if built is not None:
        return built
    if os.getuid() != 0:
        raise LabError("building a root file system takes root: run tools/lab build as root")
    CACHE.mkdir(exist_ok=True)
    free = shutil.disk_usage(CACHE).free
    if free < _SPACE:
        raise LabError(f"{CACHE} has {free >> 20} MiB left, {_SPACE >> 20} are needed: make room")
    with (CACHE / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _built(folder) is None:
            _build_in(folder)
    return find()


def _build_in(folder: Path) -> None:
    work = folder.with_suffix(".new")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        _root_file_system(work)
        _libvirt(work)
        _kernel(work)
        _initrd(work)
        _image(work)
    finally:
        for scrap in ("root", "kernel", "modules"):
            shutil.rmtree(work / scrap, ignore_errors=True)
    if not any((CACHE / "run").glob("*/lab.json")):  # a lab's disk is a layer over its image
        for old in folder.parent.glob("*"):
            if old != work:
                shutil.rmtree(old, ignore_errors=True)
    work.rename(folder)


def _folder() -> Path:
    recipe = hashlib.sha256(b"\0".join(path.read_bytes() for path in _BAKED)).hexdigest()
    return CACHE / "build" / recipe[:16]


def _built(folder: Path) -> Build | None:
    if not folder.is_dir():
        return None
    python = (folder / "python").read_text()
    return Build(folder / "vmlinux", folder / "initrd", folder / "image", python)


def _run(*command: str | Path, cwd: Path | None = None, stdin: str | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise LabError(f"{command[0]} failed with {done.returncode}:\n{tail}")
    return done.stdout


def _suite() -> str:
    lines = Path("/etc/os-release").read_text().splitlines()
    release = dict(line.split("=", 1) for line in lines if "=" in line)
    return release["VERSION_CODENAME"].strip('"')


def _sources(suite: str) -> str:
    """Give the apt lines of the mirrors that this machine already uses for its suite."""
    targets = _run("apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages")
    known = dict(line.split() for line in targets.splitlines() if line.count(" ") == 1)
    wanted = (suite, f"{suite}-updates", f"{suite}-security")
    lines = [f"deb {known[name]} {name} main" for name in wanted if name in known]
    if not any(f" {suite} " in line for line in lines):
        raise LabError(f"apt's configuration names no mirror of {suite}: add one and run apt-get update")
    return "\n".join(lines) + "\n"


def _root_file_system(work: Path) -> None:
    suite = _suite()
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{what}/*" for what in ("man", "locale", "doc")]
    _run(
        "mmdebstrap",
        "--variant=minbase",
        f"--include={','.join(_PACKAGES)}",
        *excluded,
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        suite,
        work / "root",
        "-",
        stdin=_sources(suite),
    )


_QEMU_CONF = """\
# Process 1 is a script: nobody manages control groups, and there is no other user to run QEMU as.
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
"""
_ASK_QEMU = """\
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir /run/libvirt
libvirtd --daemon
timeout 60 sh -c 'until virsh -q capabilities >/dev/null; do sleep 0.1; done'
ls /var/cache/libvirt/qemu/capabilities/*.xml
"""


def _libvirt(work: Path) -> None:
    """
    Let libvirtd ask QEMU what it can do, in namespaces that end with it, and keep its answer.

    It holds as long as the times of change of both, which mke2fs copies; and while there is no /dev/kvm.
    """
    root = work / "root"
    (root / "etc/libvirt/qemu.conf").write_text(_QEMU_CONF)
    alone = "--mount --net --pid --ipc --uts --fork --kill-child".split()
    _run("unshare", *alone, "chroot", root, "sh", "-e", stdin=_ASK_QEMU)


def _kernel(work: Path) -> None:
    """Take the distribution's kernel apart: an uncompressed image, and the modules that the lab needs."""
    folder = work / "kernel"
    folder.mkdir()
    depends = _run("apt-cache", "depends", "linux-image-amd64").split()
    package = next((word for word in depends if word.startswith("linux-image-") and word != "linux-image-amd64"), None)
    if package is None:
        raise LabError("apt knows no linux-image-amd64: run apt-get update")
    _run("apt-get", "download", package, cwd=folder)
    _run("dpkg-deb", "-x", next(folder.glob("*.deb")), folder / "unpacked")
    (bzimage,) = (folder / "unpacked/boot").glob("vmlinuz-*")
    (work / "vmlinux").write_bytes(_uncompressed(bzimage.read_bytes()))
    version = bzimage.name.removeprefix("vmlinuz-")
    _run("depmod", "-b", folder / "unpacked", version)
    wanted = {path for module in _MODULES for path in _needed(folder / "unpacked", version, module)}
    modules = work / "modules"
    for path in wanted:
        target = modules / path.relative_to(folder / "unpacked")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copy2(folder / "unpacked/lib/modules" / version / name, modules / "lib/modules" / version / name)
    _run("depmod", "-b", modules, version)
    (work / "version").write_text(version)


def _needed(root: Path, version: str, module: str) -> list[Path]:
    shown = _run("modprobe", "-d", root, "-S", version, "--show-depends", module)
    return [Path(line.split()[1]) for line in shown.splitlines() if line.startswith("insmod ")]


def _uncompressed(bzimage: bytes) -> bytes:
    """Give the ELF image in a bzImage; its header says where the payload lies (Documentation/arch/x86/boot.rst)."""
    setup_sectors = bzimage[0x1F1] or 4
    offset, length = struct.unpack_from("<II", bzimage, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = bzimage[start : start + length]
    if payload.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        done = subprocess.run(["zstd", "-dc"], input=payload, capture_output=True, check=False)
        return done.stdout
    raise LabError(f"the kernel is compressed in a way that isn't known here: {payload[:6].hex()}")


def _initrd(work: Path) -> None:
    version, tree = (work / "version").read_text(), work / "initrd.tree"
    for place in ("bin", "dev", "proc", "sys", "root", "modules"):
        (tree / place).mkdir(parents=True)
    shutil.copy2("/bin/busybox", tree / "bin/busybox")
    order = dict.fromkeys(path for name in _INITRD_MODULES for path in _needed(work / "modules", version, name))
    for path in order:
        content = path.read_bytes()
        name = path.name.removesuffix(".xz")
        (tree / "modules" / name).write_bytes(lzma.decompress(content) if path.suffix == ".xz" else content)
    (tree / "modules/order").write_text("\n".join(path.name.removesuffix(".xz") for path in order) + "\n")
    shutil.copy2(HERE / "in_guest/initrd-init", tree / "init")
    (tree / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    with (work / "initrd").open("wb") as out:
        cpio = ["cpio", "--quiet", "-o", "-H", "newc"]
        subprocess.run(cpio, cwd=tree, input=names.encode(), stdout=out, check=True)
    shutil.rmtree(tree)


_PROGRAM = """#!/bin/sh
# The project's own code from the host's working tree, with the packages of its virtual environment.
PYTHONPATH=/project:/site exec python3 -c 'import sys; from pci_agent.cmd.{module} import main; sys.exit(main())' "$@"
"""


def _image(work: Path) -> None:
    root, image = work / "root", work / "image"
    (work / "python").write_text(os.readlink(root / "usr/bin/python3").removeprefix("python"))
    shutil.copytree(work / "modules/lib/modules", root / "usr/lib/modules", dirs_exist_ok=True)
    shutil.copy2(HERE / "in_guest/lab-init", root / "lab-init")
    (root / "lab-init").chmod(0o755)
    for program, module in (("pci-agent", "agent"), ("pcictl", "pcictl")):
        target = root / "usr/local/bin" / program
        target.write_text(_PROGRAM.format(module=module))
        target.chmod(0o755)
    (root / "etc/machine-id").write_text(hashlib.md5(work.name.encode(), usedforsecurity=False).hexdigest() + "\n")
    with image.open("wb") as out:
        out.truncate(_IMAGE_BYTES)
    _run("mke2fs", "-q", "-t", "ext4", "-F", "-O", "^has_journal", "-E", "lazy_itable_init=1", "-d", root, image)
