"""Reads wg-quick files and NAME.pyfw.toml into frozen structs, and reports all errors in them at once."""

from pyfw.config.load import Config, is_interface_name, load, parse, path_of
from pyfw.config.problem import ConfigError, Problem
from pyfw.config.settings import Settings
from pyfw.config.stages import StageConfig
from pyfw.config.strip import strip
from pyfw.config.values import Secret
from pyfw.config.wg_quick import Interface, Peer

__all__ = [
    "Config",
    "ConfigError",
    "Interface",
    "Peer",
    "Problem",
    "Secret",
    "Settings",
    "StageConfig",
    "is_interface_name",
    "load",
    "parse",
    "path_of",
    "strip",
]
