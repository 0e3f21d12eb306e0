"""Random JSON Schemas of what worker/text/schema.h follows."""
import random

KEYS = ["a", "ab", "name", "naïve", "x y", 'q"t', "id", "value", "items", "b\\n", "日本"]
PATTERNS = [r"^[a-z]{3,8}$", r"^[A-Z][a-z]+( [A-Z][a-z]+)?$", r"^\d{3}-\d{4}$", r"^(foo|ba[rz])+$",
            r"^[^a-m\x00-\x1f]{2,5}$", r"^a?b*c{2}$", r"^[\w.]+@[\w]+\.(com|org)$", r"[0-9]", "^x",
            "y$", r"^\u00e9+$", r"^[α-ω]{1,3}$", '^"\\\\\n$']
FORMATS = ["date", "time", "date-time", "email", "uuid", "ipv4", "ipv6", "hostname", "uri",
           "duration"]


class Schemas:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.definitions = []

    def whole(self):
        """A schema with definitions that may refer to each other and to the whole."""
        rng = self.rng
        self.definitions = [f"d{i}" for i in range(rng.choice([0, 0, 1, 3]))]
        out = self.schema(rng.choice([1, 2, 3]))
        if self.definitions:
            out = {"allOf": [out]} if "$ref" in out else out
            out["$defs"] = {name: self.schema(2) for name in self.definitions}
        return out

    def schema(self, depth):
        rng = self.rng
        kinds = [self.string, self.integer, self.number, self.plain, self.values]
        if depth > 0:
            kinds += [self.object, self.object, self.array, self.any_of, self.any_of, self.all_of,
                      self.one_of]
        if self.definitions and depth < 2:
            kinds += [self.reference]
        return rng.choice(kinds)(depth - 1)

    def reference(self, _depth):
        # Behind something that has an end without it.
        name = self.rng.choice(self.definitions)
        return {"anyOf": [{"$ref": f"#/$defs/{name}"}, {"type": "null"}]}

    def plain(self, _depth):
        return self.rng.choice([{"type": "boolean"}, {"type": "null"}, {}, {"type": "string"},
                                {"type": ["string", "null"]}, {"type": ["integer", "boolean"]},
                                {"type": "object"}, {"type": "array"}, {"title": "any"},
                                {"type": "number", "description": "a number"}])

    def string(self, _depth):
        rng = self.rng
        out = {"type": "string"}
        kind = rng.randrange(4)
        if kind == 0:
            out["pattern"] = rng.choice(PATTERNS)
        elif kind == 1:
            out["format"] = rng.choice(FORMATS)
        elif kind == 2:
            low = rng.choice([0, 1, 3, 20])
            if rng.random() < 0.7:
                out["minLength"] = low
            if rng.random() < 0.7:
                out["maxLength"] = low + rng.choice([0, 1, 5, 60])
        return out

    def bounds(self, out, numbers):
        rng = self.rng
        low, high = sorted(rng.sample(numbers, 2))
        if rng.random() < 0.7:
            out[rng.choice(["minimum", "exclusiveMinimum"])] = low
        if rng.random() < 0.7:
            out[rng.choice(["maximum", "exclusiveMaximum"])] = high
        return out

    def integer(self, _depth):
        return self.bounds({"type": "integer"},
                           [-123456789, -1000, -101, -17, -2, 2, 5, 9, 100, 1024, 99999, 10**12])

    def number(self, _depth):
        return self.bounds({"type": "number"},
                           [-1000.5, -3.75, -1, -0.001, 0, 0.25, 0.5, 1, 1.5, 3.14159, 100, 1e6])

    def values(self, _depth):
        pool = ["red", "green", "gr\"ey", "", 1, 2, 3.5, -7, True, False, None, {"k": [1, "z"]},
                [], "日本"]
        if self.rng.random() < 0.3:
            return {"const": self.rng.choice(pool)}
        return {"enum": self.rng.sample(pool, self.rng.randrange(1, 6))}

    def object(self, depth):
        rng = self.rng
        keys = rng.sample(KEYS, rng.randrange(0, 5))
        out = {"type": "object", "properties": {key: self.schema(depth) for key in keys}}
        out["required"] = [key for key in keys if rng.random() < 0.5]
        if rng.random() < 0.1:
            out["required"].append("elsewhere")
        kind = rng.randrange(4)
        if kind == 0 and "elsewhere" not in out["required"]:
            out["additionalProperties"] = False
        elif kind == 1:
            out["additionalProperties"] = self.schema(min(depth, 0))
        elif kind == 2:
            out["additionalProperties"] = True
        return out

    def array(self, depth):
        rng = self.rng
        out = {"type": "array"}
        if rng.random() < 0.8:
            out["items"] = self.schema(depth)
        if rng.random() < 0.3:
            out["prefixItems"] = [self.schema(depth) for _ in range(rng.randrange(1, 4))]
        low = rng.randrange(4)
        if rng.random() < 0.5:
            out["minItems"] = low
        if rng.random() < 0.5:
            out["maxItems"] = low + rng.randrange(4)
        return out

    def any_of(self, depth):
        out = {"anyOf": [self.schema(depth) for _ in range(self.rng.randrange(1, 4))]}
        if self.rng.random() < 0.2:
            out["type"] = self.rng.choice(["object", "string", "array", "number"])
        return out

    def one_of(self, depth):
        kinds = self.rng.sample(["circle", "square", "line"], 2)
        return {"oneOf": [{"type": "object",
                           "properties": {"kind": {"const": kind}, "v": self.schema(depth)},
                           "required": ["kind"]} for kind in kinds]}

    def all_of(self, depth):
        first, second = self.object(depth), self.object(depth)
        for part in (first, second):
            part.pop("additionalProperties", None)
        return {"allOf": [first, second]}
