"""The types of single settings: what Python sees, and the kind that reads it from text."""

from __future__ import annotations

from typing import Annotated

from config.kinds import BOOL, EXCEPTION, SECRET, duration, header_name, model_name, number, size, text, variable_name
from config.secret import Secret

Seconds = Annotated[float, duration()]
Wait = Annotated[float, duration(zero=True)]
Size = Annotated[int, size()]
Count = Annotated[int, number("whole number", whole=True, least=1)]
Amount = Annotated[int, number("whole number", whole=True, least=0)]
Share = Annotated[float, number("share", above=0, most=1)]
Ratio = Annotated[float, number("share", least=0, most=1)]
Percent = Annotated[float, number("percent", least=0, most=100)]
Goal = Annotated[float, number("percent", above=0, most=99.999)]
Flag = Annotated[bool, BOOL]
Hidden = Annotated[Secret, SECRET]
HostName = Annotated[str, text("host name", r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?", "a host name")]
WebOrigin = Annotated[
    str, text("origin", r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?", "an origin such as https://host:8443")
]  # fmt: skip
Variable = Annotated[str, variable_name()]
Label = Annotated[str, text("name", r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "a name of letters, digits, dots and dashes")]
ModelName = Annotated[str, model_name()]
BaseUrl = Annotated[str, text("URL", r"https?://[\x21-\x7e]{1,2000}", "a URL such as https://host/v1")]
Prefix = Annotated[
    str, text("path", r"(?!.*/\.{1,2}(?:/|$))(?:/[A-Za-z0-9._~%!$&'()*+,;=:@-]+)*/?", "a path such as /openai/v1")
]
FilePath = Annotated[str, text("file", r"[^\x00-\x1f\x7f]{1,4096}", "the path of a file")]
Exempt = Annotated[str, EXCEPTION]
HeaderValue = Annotated[str, text("text", r"[\x20-\x7e\t]{0,4096}", "a header's value in visible ASCII")]
HeaderName = Annotated[str, header_name()]
