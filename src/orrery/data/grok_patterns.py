"""The named patterns that grok knows: numbers, names, times, and the lines of programs met everywhere.

Where a line holds a time with its year, that becomes a time; RFC 3164 and yum write no year, so theirs stays
text.
"""

from __future__ import annotations

_QUOTED = r'(?:[^"\\]|\\.)*'

PATTERNS: dict[str, str] = {
    # Numbers, words
    "INT": r"[+-]?\d+",
    "POSINT": r"[1-9]\d*",
    "NONNEGINT": r"\d+",
    "NUMBER": r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?",
    "BASE16NUM": r"[+-]?(?:0x)?[0-9A-Fa-f]+",
    "BOOL": r"true|false",
    "WORD": r"\w+",
    "NOTSPACE": r"\S+",
    "SPACE": r"\s*",
    "DATA": r".*?",
    "GREEDYDATA": r".*",
    "MULTILINEDATA": r"(?s:.*)",
    "QUOTEDSTRING": rf'"{_QUOTED}"',
    "QUOTED": _QUOTED,
    "UUID": r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}",
    # Who and where
    "USERNAME": r"[\w.@-]+",
    "USER": r"%{USERNAME}",
    "EMAIL": r"[\w.+=:-]+@%{HOSTNAME}",
    "IPV4": r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)",
    "IPV6": r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:%{IPV4})?(?:%\w+)?",
    "IP": r"%{IPV4}|%{IPV6}",
    "HOSTNAME": r"[0-9A-Za-z](?:[\w-]{0,62})(?:\.[0-9A-Za-z](?:[\w-]{0,62}))*\.?",
    "IPORHOST": r"%{IP}|%{HOSTNAME}",
    "HOSTPORT": r"%{IPORHOST}:%{POSINT}",
    "MAC": r"(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}",
    "PATH": r"(?:/[^\s/]*)+",
    "URI": r"[A-Za-z][\w+.-]*://\S+",
    # When
    "MONTH": r"Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec",
    "MONTHDAY": r"(?:0?[1-9]|[12]\d|3[01]| [1-9])",
    "YEAR": r"\d{4}",
    "TIME": r"(?:[01]?\d|2[0-4]):[0-5]\d:(?:[0-5]\d|60)(?:[.,]\d+)?",
    "TIMESTAMP_ISO8601": r"\d{4}-\d\d-\d\d[T ]+\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?",
    "LOCALTIME": r"\d{4}[-/]\d\d[-/]\d\d +\d\d:\d\d:\d\d",
    "HTTPDATE": r"\d\d/(?:%{MONTH})/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}",
    "SYSLOGTIMESTAMP": r"(?:%{MONTH}) +\d{1,2} %{TIME}",
    "LOGLEVEL": r"(?i:trace|debug|info|notice|warn|warning|error|err|crit|critical|alert|emerg|fatal|severe)",
    # Lines of programs
    "PROGRAM": r"[^\s\[:][^\[:]*?",
    "SYSLOGPROG": r"%{PROGRAM:program}(?:\[%{NONNEGINT:pid:int}\])?",
    "SYSLOGLINE": (
        r"(?:<%{NONNEGINT:priority:int}>)?"
        r"(?:%{SYSLOGTIMESTAMP:timestamp}|%{TIMESTAMP_ISO8601:timestamp8601:time}) "
        r"%{NOTSPACE:host} (?:%{SYSLOGPROG}: ?)?%{GREEDYDATA:message}"
    ),
    "SYSLOG5424SD": r'(?:\[(?:[^"\]\\]|"(?:[^"\\]|\\.)*")*\])+',
    "SYSLOG5424LINE": (
        r"<%{NONNEGINT:priority:int}>%{NONNEGINT:version:int} "
        r"(?:-|%{TIMESTAMP_ISO8601:timestamp:time}) (?:-|%{NOTSPACE:host}) "
        r"(?:-|%{NOTSPACE:program}) (?:-|%{NOTSPACE:pid}) (?:-|%{NOTSPACE:message_id}) "
        r"(?:-|%{SYSLOG5424SD:structured_data})(?: \x{FEFF}?%{GREEDYDATA:message})?"
    ),
    "COMMONAPACHELOG": (
        r"%{NOTSPACE:client} %{NOTSPACE:ident} %{DATA:user} \[%{HTTPDATE:timestamp:time}\] "
        r'"(?:%{WORD:verb} %{NOTSPACE:request} HTTP/%{NUMBER:http_version}|%{QUOTED:raw_request})" '
        r"(?:-|%{INT:status:int}) (?:-|%{INT:bytes:int})"
    ),
    "COMBINEDAPACHELOG": r'%{COMMONAPACHELOG} "(?:-|%{QUOTED:referrer})" "(?:-|%{QUOTED:agent})"',
    "NGINXERROR": (
        r"%{LOCALTIME:timestamp:time} \[%{LOGLEVEL:level}\] %{INT:pid:int}#%{INT:thread:int}: "
        r"(?:\*%{INT:connection:int} )?%{DATA:message}"
        r"(?:, client: %{DATA:client})?(?:, server: %{DATA:server})?"
        r'(?:, request: "%{QUOTED:request}")?(?:, subrequest: "%{QUOTED:subrequest}")?'
        r'(?:, upstream: "%{QUOTED:upstream}")?(?:, host: "%{QUOTED:host}")?'
        r'(?:, referrer: "%{QUOTED:referrer}")?'
    ),
    "DPKG": (
        r"%{LOCALTIME:timestamp:time} (?:"
        r"(?P<action>startup) %{NOTSPACE:scope} %{GREEDYDATA:command}|"
        r"(?P<action>status) %{NOTSPACE:state} %{NOTSPACE:package} %{NOTSPACE:version}|"
        r"(?P<action>conffile) %{GREEDYDATA:file} %{WORD:decision}|"
        r"%{WORD:action} %{NOTSPACE:package} %{NOTSPACE:version} %{NOTSPACE:new_version})"
    ),
    "APTHISTORY": r"Start-Date: %{LOCALTIME:started:time}" + "".join(
        rf"(?:\n{head}: %{{GREEDYDATA:{head.lower().replace('-', '_')}}})?"
        for head in ("Commandline", "Comment", "Requested-By", "Install", "Reinstall", "Upgrade", "Downgrade",
                     "Remove", "Purge", "Error")
    ) + r"(?:\nEnd-Date: %{LOCALTIME:ended:time})?",
    "YUM": r"%{SYSLOGTIMESTAMP:timestamp} (?:%{WORD:action}: %{NOTSPACE:package}|%{GREEDYDATA:message})",
    "DNF": r"%{TIMESTAMP_ISO8601:timestamp:time} %{WORD:level} %{GREEDYDATA:message}",
    "DNFRPM": (
        r"%{TIMESTAMP_ISO8601:timestamp:time} %{WORD:level} "
        r"(?:%{WORD:action}: %{NOTSPACE:package}|%{GREEDYDATA:message})"
    ),
}  # fmt: skip
"""Name -> regular expression, which may name others."""

BEGINS = {"%{APTHISTORY}": "Start-Date: "}
"""Of patterns for several lines: how the first of them begins."""
