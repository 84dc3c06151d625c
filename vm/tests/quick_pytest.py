"""Has the fork server do once what each run of pytest would do anew.

All of it is pytest's own: what a run does with options, with the harness's plugin and
with tests, it does as in a process of its own.
"""

from __future__ import annotations

import fnmatch
import functools
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from _pytest import config, fixtures, junitxml


def prepare() -> None:
    """Do it, for the runs to come."""
    plugins = [importlib.import_module(f"_pytest.{n}") for n in config.default_plugins]
    # Otherwise pytest warns that it cannot rewrite what is imported.
    importlib.import_module("xdist").__doc__ = "PYTEST_DONT_REWRITE"
    junitxml.bin_xml_escape("")  # re keeps the pattern
    _find_fixtures(plugins)
    _read_entry_points()
    _register_plugins()


def _find_fixtures(plugins: list[ModuleType]) -> None:
    """Find the fixtures among all that pytest's plugins define."""
    manager = fixtures.FixtureManager
    # A warning about decorated fixtures: to look for them takes a tenth of a run.
    manager._check_for_wrapped_fixture = lambda *_: None  # type: ignore[method-assign]
    with_fixtures_only = {plugin: ModuleType(plugin.__name__) for plugin in plugins}
    for plugin, found in with_fixtures_only.items():
        for name, value in vars(plugin).items():
            if isinstance(value, fixtures.FixtureFunctionDefinition):
                setattr(found, name, value)
    really_registered = manager.pytest_plugin_registered

    def pytest_plugin_registered(
        self: fixtures.FixtureManager, plugin: object, plugin_name: str
    ) -> None:
        if isinstance(plugin, ModuleType):
            plugin = with_fixtures_only.get(plugin, plugin)
        elif type(plugin).__module__.startswith("_pytest."):
            return  # no class of pytest's has fixtures
        really_registered(self, plugin, plugin_name)

    manager.pytest_plugin_registered = pytest_plugin_registered  # type: ignore[method-assign]


def _read_entry_points() -> None:
    """Read which plugins the installed packages offer."""
    module, package = importlib.metadata, importlib.metadata.Distribution
    read = package.__dict__["entry_points"].fget
    package.entry_points = property(functools.cache(read))  # type: ignore[assignment]
    found = list(module.distributions())
    for each in found:
        _ = each.entry_points
    module.distributions = lambda: found  # type: ignore[assignment]


def _register_plugins() -> None:
    """Make the configuration for a run, with pytest's own plugins and options."""
    made = config.get_config()
    for name in ("norecursedirs", "python_files"):
        for pattern in made._parser._inidict[name][2]:
            fnmatch.fnmatch("", pattern)  # keeps it compiled

    def get_config(
        args: Sequence[str], plugins: None = None, *, prog: str
    ) -> config.Config:
        made.invocation_params = made.InvocationParams(
            args=args, plugins=plugins, dir=Path.cwd()
        )
        made._parser.prog = prog
        made.pluginmanager.consider_preparse(args, exclude_only=True)
        return made

    config.get_config = get_config  # type: ignore[assignment]
