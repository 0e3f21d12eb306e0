"""Prometheus text format 0.0.4: a strict parser. Raises ValueError with the line that is wrong."""
import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
SAMPLE = re.compile(rf"^({NAME})(?:\{{((?:{LABEL},?)*)\}})? (\S+)$")
KINDS = {"counter", "gauge", "histogram"}


class Family:
    def __init__(self, name, kind):
        self.name, self.kind = name, kind
        self.samples = {}  # (suffix, sorted labels) -> value


def family_of(name, families):
    """The family a sample belongs to: histograms have three suffixes."""
    if name in families:
        return families[name], ""
    for suffix in ("_bucket", "_sum", "_count"):
        family = families.get(name.removesuffix(suffix))
        if name.endswith(suffix) and family and family.kind == "histogram":
            return family, suffix
    raise ValueError(f"sample {name} has no # TYPE before it")


def parse(text):
    """Families by name."""
    if not text.endswith("\n"):
        raise ValueError("the page does not end with a newline")
    families, helped, last = {}, set(), None
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            name, _, sentence = line[7:].partition(" ")
            if name in helped or not sentence:
                raise ValueError(f"second or empty help: {line}")
            helped.add(name)
        elif line.startswith("# TYPE "):
            name, _, kind = line[7:].partition(" ")
            if name in families or kind not in KINDS:
                raise ValueError(f"second or unknown type: {line}")
            if kind == "counter" and not name.endswith("_total"):
                raise ValueError(f"a counter that does not end in _total: {line}")
            families[name] = Family(name, kind)
        elif line and not line.startswith("#"):
            last = add_sample(families, line, last)
    for family in families.values():
        if family.name not in helped:
            raise ValueError(f"{family.name} has no # HELP")
        if family.kind == "histogram":
            check_histogram(family)
    return families


def add_sample(families, line, last):
    found = SAMPLE.match(line)
    if not found:
        raise ValueError(f"not a sample: {line!r}")
    family, suffix = family_of(found.group(1), families)
    if family is not last and family.samples:
        raise ValueError(f"the samples of {family.name} are not together")
    labels = re.findall(LABEL, found.group(2) or "")
    key = (suffix, tuple(sorted(labels)))
    if len({name for name, _ in labels}) != len(labels) or key in family.samples:
        raise ValueError(f"a label or a sample twice: {line}")
    family.samples[key] = float(found.group(found.lastindex))
    if family.kind != "gauge" and family.samples[key] < 0:
        raise ValueError(f"negative: {line}")
    return family


def check_histogram(family):
    series = {}
    for (suffix, labels), value in family.samples.items():
        rest = tuple(pair for pair in labels if pair[0] != "le")
        entry = series.setdefault(rest, {"buckets": []})
        if suffix == "_bucket":
            entry["buckets"].append((float(dict(labels)["le"]), value))
        elif suffix:
            entry[suffix] = value
        else:
            raise ValueError(f"{family.name}: a sample without suffix")
    for labels, entry in series.items():
        bounds = [bound for bound, _ in entry["buckets"]]
        counts = [count for _, count in entry["buckets"]]
        if bounds != sorted(bounds) or counts != sorted(counts) or bounds[-1] != math.inf:
            raise ValueError(f"{family.name}{labels}: buckets {entry['buckets']}")
        if counts[-1] != entry["_count"] or "_sum" not in entry:
            raise ValueError(f"{family.name}{labels}: _count or _sum does not fit")


class Metrics:
    """One scrape: metrics["cortex_requests_total"] sums over labels; value() picks by labels."""

    def __init__(self, text):
        self.families = parse(text)

    def value(self, name, **labels):
        family, suffix = family_of(name, self.families)
        wanted = set(labels.items())
        return sum(value for (have, pairs), value in family.samples.items()
                   if have == suffix and wanted <= set(pairs))

    def __getitem__(self, name):
        return self.value(name)

    def moved(self):
        """Families with a sample other than zero."""
        return {family.name for family in self.families.values()
                if any(family.samples.values())}
