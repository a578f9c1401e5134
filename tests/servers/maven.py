"""Java programs from Maven: the jars of a pinned server and of all that it needs, in one folder."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from xml.sax.saxutils import escape

from tests.servers import cache
from tests.servers.cache import MissingServerError

_DEADLINE_S = 900
_PROJECT = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>orrery.servers</groupId><artifactId>{name}</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""


def fetch(name: str) -> Path:
    """The folder with the jars of a server of ``versions.toml``; nothing is asked of anyone if it is there.

    Raises MissingServerError where Java or Maven is not installed, or cannot reach its repository.
    """
    if not shutil.which("java"):
        raise MissingServerError(f"{name} needs Java (17 or newer), which is not installed")
    return cache.built(name, lambda folder: _copy(name, folder))


def have(name: str) -> bool:
    """Whether the jars are here already."""
    return cache.folder(name).is_dir()


def classpath(name: str) -> str:
    """What Java's ``-cp`` takes: all jars of a server."""
    return f"{fetch(name)}/*"


def pom(name: str) -> str:
    """The project whose dependencies are the server's pinned jars."""
    parts = [_dependency(coordinates) for coordinates in cache.pins()[name]["maven"]]
    return _PROJECT.format(name=escape(name), dependencies="\n".join(parts))


def _dependency(coordinates: str) -> str:
    names = ("groupId", "artifactId", "version", "type", "classifier")
    fields = zip(names, coordinates.split(":"), strict=False)
    return (
        "    <dependency>" + "".join(f"<{n}>{escape(value)}</{n}>" for n, value in fields) + "</dependency>"
    )


def _copy(name: str, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingServerError(f"{name} is fetched with Maven (mvn), which is not installed")
    (folder / "pom.xml").write_text(pom(name))
    goal = f"org.apache.maven.plugins:maven-dependency-plugin:{cache.pins()['plugin']['version']}"
    command = [maven, "-B", "-q", "-U", "-f", str(folder / "pom.xml"), f"{goal}:copy-dependencies"]
    options = ["-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=_DEADLINE_S, check=False
    )
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise MissingServerError(f"Maven could not fetch {name}:\n{said}")
