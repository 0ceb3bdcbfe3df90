"""Configurations that load from dictionaries, JSON text and JSON files, and messages that name what was meant."""

import copy
import difflib
import json
import logging
import os
from typing import ClassVar

logger = logging.getLogger(__name__)


def did_you_mean(name, known):
    """ "; did you mean 'nearest'?" when some known name is near, else nothing."""
    near = difflib.get_close_matches(str(name), [str(each) for each in known], n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def unknown_name(what, name, known, hint=None):
    """That there is no `what` of this name, with the nearest name (or another hint) and all that there are."""
    ending = hint or did_you_mean(name, known) or "."
    return f"there is no {what} '{name}'{ending} There are: {', '.join(sorted(map(str, known)))}"


class Config:
    """Attributes with defaults. A subclass lists its own with `ATTRIBUTES = Parent.add_attributes({...})`.

    `Config(key=value)` is strict: an unknown key is a TypeError. Loading (`from_dict`, `update`, ...) passes over
    unknown keys with a warning, so that one JSON file can hold more than one program reads.
    """

    ATTRIBUTES: ClassVar = {}

    def __init__(self, **kwargs):
        for key in kwargs:
            if key not in self.ATTRIBUTES:
                raise TypeError(
                    f"{type(self).__name__} got an unexpected keyword argument '{key}'"
                    f"{did_you_mean(key, self.ATTRIBUTES)}"
                )
        # Defaults are copied: a list that one configuration changes is not everybody's.
        self.__dict__.update({**copy.deepcopy(self.ATTRIBUTES), **kwargs})

    @classmethod
    def add_attributes(cls, attributes):
        """The attributes of this class and these; where both have one, these."""
        return {**copy.deepcopy(cls.ATTRIBUTES), **attributes}

    @classmethod
    def from_dict(cls, json_object):
        """A configuration with the entries of a dictionary."""
        config = cls()
        config.update_from_dict(json_object)
        return config

    @classmethod
    def from_json_file(cls, json_file):
        """A configuration with the entries of a JSON file."""
        return cls.from_dict(cls._load_json_file(json_file))

    def update(self, *args, **kwargs):
        """Takes over entries of dictionaries, JSON files or JSON texts, in order, and then of keywords."""
        for arg in args:
            if isinstance(arg, dict):
                self.update_from_dict(arg)
            elif isinstance(arg, str | os.PathLike):
                if os.path.exists(arg):
                    self.update_from_json_file(arg)
                else:
                    self.update_from_json_string(os.fspath(arg))
            elif arg is not None:
                raise TypeError(
                    f"a configuration is updated by a dict, a path or JSON, not {type(arg).__name__}"
                )
        self.update_from_dict(kwargs)

    def update_from_dict(self, entries):
        """Takes over the entries of a dictionary that are attributes."""
        if not isinstance(entries, dict):
            raise TypeError(f"a configuration is a dictionary of entries, not {type(entries).__name__}")
        for key, value in entries.items():
            if key in self.ATTRIBUTES:
                setattr(self, key, value)
            else:
                logger.warning(
                    "%s has no '%s': ignored%s", type(self).__name__, key, did_you_mean(key, self.ATTRIBUTES)
                )

    def update_from_json_string(self, json_string):
        """Takes over the entries of a JSON text; an empty one changes nothing."""
        if not json_string:
            return
        try:
            entries = json.loads(json_string)
        except json.JSONDecodeError as error:
            raise ValueError(f"neither a file that exists nor JSON: '{json_string}' ({error})") from error
        self.update_from_dict(entries)

    def update_from_json_file(self, json_file):
        """Takes over the entries of a JSON file."""
        self.update_from_dict(self._load_json_file(json_file))

    def to_dict(self):
        """All attributes, copied."""
        return copy.deepcopy(self.__dict__)

    def to_json_string(self):
        """JSON, sorted by key. Throws TypeError for values that JSON does not have, such as functions."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def to_json_file(self, json_file):
        """Writes what `from_json_file` reads."""
        text = self.to_json_string()
        with open(json_file, "w", encoding="utf-8") as file:
            file.write(text)

    @staticmethod
    def _load_json_file(json_file):
        with open(json_file, encoding="utf-8") as file:
            try:
                return json.load(file)
            except json.JSONDecodeError as error:
                raise ValueError(f"{json_file} is not JSON: {error}") from error

    def __repr__(self):
        return json.dumps(self.to_dict(), indent=2, sort_keys=True, default=repr) + "\n"
