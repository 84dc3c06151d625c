"""Debian's source package of a kernel, through the machine's own apt settings."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from vm.archives import Record
from vm.bases import Base
from vm.cache import safe_name, sha256_file
from vm.errors import BuildError, UsageError
from vm.process import output_of, run_logged
from vm.terminal import Log

OS_RELEASE = Path("/etc/os-release")
APT_FOLDER = Path("/etc/apt")
OTHER_WAY = "give a kernel tree of your own with --kernel-tree"

# Read after the machine's settings, so proxies, certificates and passwords stay.
# Hooks of the machine's own updates are cleared: they work on its own lists.
_APT_CONF = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Default-Release "";
Acquire::Languages "none";
Dir::Etc::SourceList "{folder}/mirror.sources";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "{folder}/state";
Dir::State::status "/dev/null";
Dir::Cache "{folder}/cache";
"""


def debian_source(base: Base, archives: Path, log: Log) -> tuple[Path, Record]:
    """Fetch the base's Debian source package; its archive and record.

    From the machine's own suites, else from the base's suite on the machine's
    Debian mirror with a private apt configuration. apt checks the package against
    the signed Release file. UsageError on a machine without a Debian mirror.
    """
    package, suite = base.package, base.suite
    # apt could not write to the cache as its own user.
    options = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    version = _candidate(package, options, log)
    if version is None:
        options += ["-c", os.fspath(_private_apt(archives / "apt", suite))]
        log.say(f"reading the index of {suite} from this machine's Debian mirror")
        update = ["apt-get", *options, "update", "-o", "APT::Update::Error-Mode=any"]
        output_of(update, log, hint=f"see {log.path}, or {OTHER_WAY}")
        version = _candidate(package, options, log)
    if version is None:
        raise BuildError(
            f"{suite} on this machine's Debian mirror has no {package}",
            hint=OTHER_WAY,
        )
    log.say(f"downloading {package} {version} with apt, about 170 MB")
    folder = archives / "deb"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    run_logged(
        ["apt-get", *options, "download", f"{package}={version}"],
        log,
        cwd=folder,
        hint=f"run `apt-get update` and try again, or {OTHER_WAY}; see {log.path}",
    )
    for deb in folder.glob("*.deb"):
        run_logged(["dpkg-deb", "--extract", deb, folder], log)
    inner = folder / "usr" / "src" / f"{package}.tar.xz"
    if not inner.is_file():
        raise BuildError(
            f"the package {package} {version} has no usr/src/{inner.name}",
            hint=OTHER_WAY,
        )
    digest = sha256_file(inner)
    if version != base.package_version:
        log.say(f"patches/bases.toml does not pin {version}: relying on apt's checks")
    elif digest != base.package_sha256:
        shutil.rmtree(folder)
        raise BuildError(
            f"the archive in {package} {version} has the wrong checksum",
            detail=f"downloaded: SHA-256 {digest}\n"
            f"patches/bases.toml: {base.package_sha256}",
            hint=f"do not trust this mirror; {OTHER_WAY}",
        )
    archive = inner.replace(archives / f"{package}-{safe_name(version)}.tar.xz")
    shutil.rmtree(folder)
    describe = f"{package} {version} (Debian)"
    pinned = base.package_sha256
    return archive, Record("debian", base.name, version, digest, describe, pinned)


def _candidate(package: str, options: list[str], log: Log) -> str | None:
    """The version that apt would download, if any."""
    command = ["apt-cache", *options, "policy", package]
    # UsageError: apt-cache only fails where it is missing or misconfigured.
    for line in output_of(command, log, error=UsageError, hint=OTHER_WAY):
        name, _, version = line.strip().partition(": ")
        if name == "Candidate" and version != "(none)":
            return version
    return None


def _private_apt(folder: Path, suite: str) -> Path:
    """Write an apt configuration that reads only `suite`, beside the machine's."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    mirror = debian_mirror(apt_entries(APT_FOLDER))
    if mirror is None:
        raise UsageError(
            f"no kernel source: kernel.org cannot be reached, and {APT_FOLDER} has "
            "no Debian mirror",
            hint=OTHER_WAY,
        )
    # The URI may hold a password.
    sources = folder / "mirror.sources"
    sources.touch(mode=0o600)
    fields = {
        "Types": "deb",
        "URIs": mirror["uris"],
        "Suites": suite,
        "Components": "main",
        "Targets": "Packages",
    }
    if "signed-by" in mirror:
        fields["Signed-By"] = mirror["signed-by"]
    sources.write_text("".join(f"{name}: {fields[name]}\n" for name in fields))
    conf = folder / "apt.conf"
    conf.write_text(_APT_CONF.format(folder=folder))
    return conf


def apt_entries(folder: Path) -> list[dict[str, str]]:
    """The enabled binary entries of apt's sources, of one URI each.

    Both formats become deb822's fields in lower case: "uris", "suites",
    "components", maybe "signed-by" (a keyring's path, or a key of many lines).
    """
    parts = folder / "sources.list.d"
    entries = []
    for file in [folder / "sources.list", *sorted(parts.glob("*.list"))]:
        for line in file.read_text().splitlines() if file.is_file() else []:
            match = re.match(r"\s*deb\s+(?:\[(.*?)\]\s*)?(\S+)\s+(\S+)\s*([^#]*)", line)
            if match:
                options, uri, suites, components = match.groups()
                entry = {"uris": uri, "suites": suites, "components": components}
                signed = re.search(r"signed-by=(\S+)", options or "", re.IGNORECASE)
                entries.append(entry | ({"signed-by": signed[1]} if signed else {}))
    for file in sorted(parts.glob("*.sources")):
        text = re.sub(r"^#.*\n?", "", file.read_text(), flags=re.MULTILINE)
        for stanza in re.split(r"\n\s*\n", text):
            found = re.findall(
                r"^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE
            )
            entry = {name.lower(): value.rstrip() for name, value in found}
            on = entry.get("enabled", "yes").lower() in ("yes", "true", "1", "on")
            if on and "deb" in entry.get("types", "").split():
                entries += [entry | {"uris": uri} for uri in entry["uris"].split()]
    return entries


def debian_mirror(entries: list[dict[str, str]]) -> dict[str, str] | None:
    """The entry of a mirror of Debian's own archive, the likeliest one, or None."""
    release = OS_RELEASE.read_text() if OS_RELEASE.is_file() else ""
    system = dict(re.findall(r'^(\w+)="?(.*?)"?$', release, re.MULTILINE))
    codename = system.get("VERSION_CODENAME") if system.get("ID") == "debian" else None

    def likelihood(entry: dict[str, str]) -> int:
        if "main" not in entry.get("components", "").split():
            return 0
        named = entry["uris"].rstrip("/").endswith("/debian")
        return 2 * named + (codename in entry.get("suites", "").split())

    best = max(entries, key=likelihood, default=None)
    return best if best is not None and likelihood(best) > 0 else None
