"""Settings from the environment: ``FORESHOCK_SECTION_KEY``, the same keys as in the file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from schemas.errors import SettingsError

# What Kubernetes sets for a service whose name begins like one of our sections; it is none of ours.
_OF_KUBERNETES = re.compile(r".*_(SERVICE_(HOST|PORT(_.+)?)|PORT(_\d+_(TCP|UDP)(_.+)?)?)")
_WANT = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "list": 'a,b or ["a", "b"], tables as in TOML: [{name = "a"}]',
    "dict": 'a=b,c=d, or as in TOML: {a = ["b"]}',
}


def from_environment(section: Any, name: str, environ: Mapping[str, str], aliases: Mapping[str, str]) -> Any:
    """Return a section of the settings with what the environment says of it; raises SettingsError.

    aliases : other spellings of a key, key → spelling.
    """
    for f in fields(section):
        spelled = (f"FORESHOCK_{name}_{key}".upper() for key in (f.name, aliases.get(f.name, f.name)))
        variable = next((v for v in spelled if v in environ), "")
        if not variable:
            continue
        current, raw = getattr(section, f.name), environ[variable]
        try:
            value = _value(raw, type(current))
        except (ValueError, KeyError) as error:
            kind = type(current).__name__
            raise SettingsError(f"cannot use {variable}={raw!r}: want {_WANT.get(kind, kind)}") from error
        section = replace(section, **{f.name: value})
    return section


def refuse_unknown(environ: Mapping[str, str], sections: Mapping[str, Iterable[str]]) -> None:
    """Raise SettingsError for a variable that is spelled like a setting and is none.

    sections : the keys of each section.
    """
    for variable in sorted(environ):
        for section, keys in sections.items():
            prefix = f"FORESHOCK_{section}_".upper()
            if not variable.startswith(prefix) or _OF_KUBERNETES.fullmatch(variable):
                continue
            known = [f"{prefix}{key}".upper() for key in keys]
            if variable not in known:
                raise SettingsError(f"unknown variable {variable} in the environment: want one of {', '.join(known)}")


def _value(raw: str, kind: type) -> Any:
    if kind is bool:
        return {"true": True, "1": True, "false": False, "0": False}[raw.strip().lower()]
    if kind in (list, dict) and raw.strip()[:1] in ("[", "{"):
        value = tomllib.loads(f"value = {raw.strip()}")["value"]
        if type(value) is not kind:
            raise ValueError(f"it is a {type(value).__name__}")
        return value
    if kind is list:
        return [item.strip() for item in raw.split(",") if item.strip()]
    if kind is dict:
        return dict(item.strip().split("=", 1) for item in raw.split(",") if item.strip())
    return kind(raw)
