# SPDX-License-Identifier: Apache-2.0
"""Random manifests for a libdir: most follow the schemas of its modules, some nearly.

Manifest(libdir, seed).text() is the document, by the seed alone.
"""
import functools
import json
import pathlib
import random
import re
import re._parser as patterns

WORDS = ["a", "b", "tree", "build", "os", "x y", "é", "\U0001f600", "A-1.b", "disk.img", "root", "1", ""]
NUMBERS = ["0", "-0", "1", "1.0", "-1.5", "1e5", "1E400", "1e-7", "0.1", "1e22", "123456789012345678901234567890",
           "9223372036854775808", "-9223372036854775809", "0.30000000000000004", "5e-324", "100000000000000000.0",
           "NaN", "-Infinity"]
RAW = "\ue000"  # stands before a number that is to be written as it is


@functools.cache
def load_module(path):
    meta = path.with_name(path.name + ".meta.json")
    if meta.exists():
        return json.loads(meta.read_text(encoding="utf-8"))
    found = {}
    for key, name in (("SCHEMA", "schema"), ("SCHEMA_2", "schema_2")):
        text = re.search(rf'^{key} = r?"""(.*?)"""', path.read_text(encoding="utf-8"), re.M | re.S)
        if text:
            try:
                found[name] = json.loads("{" + text.group(1) + "}")
            except ValueError:  # an escape that Python would have undone: not worth the trouble here
                pass
    return found


@functools.cache
def list_modules(folder):
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.endswith(".meta.json"))


class Texts:
    """Strings that match a regular expression, mostly."""

    def __init__(self, rng):
        self.rng = rng

    def one(self, pattern):
        for _ in range(5):
            text = self.sequence(patterns.parse(pattern))
            if re.search(pattern, text):
                break
        return text

    def sequence(self, parsed):
        return "".join(self.item(*item) for item in parsed)

    def item(self, op, value):
        name = str(op)
        if name == "LITERAL":
            return chr(value)
        if name == "IN":
            return self.member(value)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            low, high, inner = value
            n = self.rng.choice([low, min(int(high), low + self.rng.randrange(6))])
            return "".join(self.sequence(inner) for _ in range(n))
        if name == "SUBPATTERN":
            return self.sequence(value[3])
        if name == "BRANCH":
            return self.sequence(self.rng.choice(value[1]))
        return self.rng.choice("ab1") if name in ("ANY", "NOT_LITERAL") else ""

    def member(self, choices):
        if str(choices[0][0]) == "NEGATE":
            return self.rng.choice("ab1Z")
        op, value = self.rng.choice(choices)
        if str(op) == "RANGE":
            return chr(self.rng.randint(*value))
        if str(op) == "LITERAL":
            return chr(value)
        return self.rng.choice({"CATEGORY_DIGIT": "0123456789٣", "CATEGORY_SPACE": " \t"}.get(str(value), "abZ_9é"))


class Values:
    """Instances of draft-04 schemas."""

    def __init__(self, rng):
        self.rng = rng
        self.texts = Texts(rng)

    def anything(self, depth=2):
        kind = self.rng.randrange(9 if depth else 6)
        if kind == 0:
            return self.rng.choice([None, True, False])
        if kind in (1, 2):
            return RAW + self.rng.choice(NUMBERS)
        if kind < 6:
            return self.rng.choice([*WORDS, "it's", '"', "\\", "\x7f\n", "\ud800"])
        if kind == 6:
            return [self.anything(depth - 1) for _ in range(self.rng.randrange(4))]
        return {self.rng.choice(WORDS): self.anything(depth - 1) for _ in range(self.rng.randrange(4))}

    def one(self, schema, top, depth=6):
        if not isinstance(schema, dict) or depth == 0:
            return self.anything(1)
        if "$ref" in schema:
            target = top
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            return self.one(target, top, depth - 1)
        for word in ("oneOf", "anyOf", "allOf"):
            if word in schema:
                choice = self.rng.choice(schema[word])
                return self.one(self.merge({k: v for k, v in schema.items() if k != word}, choice), top, depth - 1)
        if "enum" in schema:
            return self.rng.choice(schema["enum"])
        kind = schema.get("type") or next(
            (kind for word, kind in (("properties", "object"), ("patternProperties", "object"), ("items", "array"),
                                     ("pattern", "string")) if word in schema), None)
        if isinstance(kind, list):
            kind = self.rng.choice(kind)
        maker = getattr(self, f"make_{kind}", None)
        return maker(schema, top, depth) if maker else self.anything()

    @staticmethod
    def merge(one, other):
        """Enough for the branches that are written in modules: more properties, more required."""
        result = {**one, **other}
        if "properties" in one and "properties" in other:
            result["properties"] = {**one["properties"], **other["properties"]}
        if "required" in one and "required" in other:
            result["required"] = [*one["required"], *other["required"]]
        return result

    def make_null(self, _schema, _top, _depth):
        return None

    def make_boolean(self, _schema, _top, _depth):
        return self.rng.random() < 0.5

    def make_integer(self, schema, _top, _depth):
        low = int(schema.get("minimum", 0))
        return self.rng.choice([low, low + self.rng.randrange(1000), int(schema.get("maximum", 5000))])

    def make_number(self, schema, top, depth):
        if self.rng.random() < 0.4:
            return RAW + self.rng.choice(NUMBERS)
        return self.make_integer(schema, top, depth)

    def make_string(self, schema, _top, _depth):
        if "pattern" in schema:
            return self.texts.one(schema["pattern"])
        text = self.rng.choice(WORDS)
        return text.ljust(schema.get("minLength", 0), "y")

    def make_array(self, schema, top, depth):
        items, low = schema.get("items", {}), schema.get("minItems", 0)
        if isinstance(items, list):
            return [self.one(item, top, depth - 1) for item in items]
        return [self.one(items, top, depth - 1) for _ in range(low + self.rng.randrange(3))]

    def make_object(self, schema, top, depth):
        made = {}
        properties = schema.get("properties", {})
        for name, inner in properties.items():
            if name in schema.get("required", []) or self.rng.random() < 0.4:
                made[name] = self.one(inner, top, depth - 1)
        for name in schema.get("required", []):
            if name not in made:
                made[name] = self.anything(1)
        more = schema.get("additionalProperties", True)
        for pattern, inner in schema.get("patternProperties", {}).items():
            for _ in range(self.rng.randrange(3)):
                made[self.texts.one(pattern)] = self.one(inner, top, depth - 1)
        if more and (isinstance(more, dict) or not properties):
            for _ in range(self.rng.randrange(3)):
                made[self.rng.choice(WORDS)] = self.one(more, top, depth - 1)
        low = schema.get("minProperties", 0)
        names = list(properties)
        while len(made) < low and names:
            name = names.pop()
            made[name] = self.one(properties[name], top, depth - 1)
        return made


class Manifest:
    def __init__(self, libdir, seed):
        self.libdir = pathlib.Path(libdir)
        self.rng = random.Random(seed)
        self.values = Values(self.rng)
        self.checksums = ["sha256:" + "%064x" % self.rng.getrandbits(256) for _ in range(4)]

    def chance(self, probability):
        return self.rng.random() < probability

    def modules(self, folder):
        return list_modules(self.libdir / folder)

    def options_of(self, path, version):
        module = load_module(path)
        schema = module.get("schema_2", {}) if version == 2 else module.get("schema", {})
        if version == 2 and not schema:
            schema = {"options": module.get("schema", {})}
        elif version == 1:
            schema = {"options": schema}
        options = schema.get("options", {})
        top = {"definitions": {**schema.get("definitions", {}), **options.get("definitions", {})}}
        return schema, options, top

    # Version 2

    def some(self, folder):
        return self.rng.choice(self.modules(folder))

    def reference_list(self, names):
        chosen = self.rng.sample(names, min(len(names), 1 + self.rng.randrange(2))) or ["none"]
        kind = self.rng.randrange(3)
        if kind == 0:
            return chosen
        if kind == 1:
            return {name: self.rng.choice([{}, {"file": "a"}, {"metadata": {"x": 1}}]) for name in chosen}
        return [{"id": name, **({"options": {"o": 1}} if self.chance(0.4) else {})} for name in chosen]

    def input(self, names):
        if names and self.chance(0.5):
            made = {"origin": "org.osbuild.pipeline",
                    "references": self.reference_list([f"name:{name}" for name in names])}
        else:
            made = {"origin": "org.osbuild.source", "references": self.reference_list(self.checksums)}
        return {"type": self.rng.choice(["org.osbuild.tree", "org.osbuild.files", "org.osbuild.noop"]), **made}

    def device(self, others):
        path = self.some("devices")
        _, options, top = self.options_of(path, 2)
        return {"type": path.name, **({"parent": self.rng.choice(others)} if others and self.chance(0.4) else {}),
                **({"options": self.values.one(options, top)} if self.chance(0.8) else {})}

    def mount(self, devices):
        path = self.some("mounts")
        schema = load_module(path).get("schema_2", {})
        made = self.values.one({"type": "object", **schema}, {"definitions": schema.get("definitions", {})})
        made = made if isinstance(made, dict) else {}
        made.update({"name": self.rng.choice(WORDS) + str(self.rng.randrange(9)), "type": path.name})
        if "source" in made and self.chance(0.9):
            made["source"] = self.rng.choice(devices or ["none"])
        if self.chance(0.2):
            made["partition"] = self.rng.choice([0, 1, 3, RAW + "1.5"])
        return made

    def stage(self, names):
        path = self.some("stages")
        schema, options, top = self.options_of(path, 2)
        stage = {"type": path.name}
        if self.chance(0.9):
            stage["options"] = self.values.one(options, top)
        if "inputs" in schema and self.chance(0.8):
            wanted = schema["inputs"].get("properties") or {self.rng.choice("abc"): {}}
            stage["inputs"] = {name: self.input(names) for name in wanted}
        if self.chance(0.3):
            devices = self.rng.sample(["a", "b", "c-1", "d"], 1 + self.rng.randrange(3))
            stage["devices"] = {name: self.device(devices) for name in devices}
            if self.chance(0.6):
                stage["mounts"] = [self.mount(devices) for _ in range(1 + self.rng.randrange(2))]
        return stage

    def pipeline(self, names):
        pipeline = {"name": self.rng.choice(WORDS) + ("" if self.chance(0.05) else str(len(names)))}
        if names and self.chance(0.5):
            pipeline["build"] = "name:" + self.rng.choice(names)
        if self.chance(0.3):
            pipeline["runner"] = self.rng.choice(["org.osbuild.linux", "org.osbuild.fedora99", "org.osbuild.debian12",
                                                  "org.osbuild.centos9", "org.osbuild.ubuntu2404"])
        if self.chance(0.3):
            pipeline["source-epoch"] = self.rng.choice([0, 1, -5, 1659397331])
        pipeline["stages"] = [self.stage(names) for _ in range(self.rng.randrange(4))]
        return pipeline

    def version_2(self):
        names, pipelines = [], []
        for _ in range(self.rng.randrange(4)):
            pipelines.append(self.pipeline(names))
            names.append(pipelines[-1]["name"])
        manifest = {"version": "2", "pipelines": pipelines,
                    "sources": {"org.osbuild.curl": {"items": {c: "http://e.org/" + c[-4:] for c in self.checksums}}}}
        if self.chance(0.2):
            path = self.some("sources")
            schema, _, _ = self.options_of(path, 2)
            module = load_module(path)
            schema = module.get("schema_2") or module.get("schema") or {}
            made = self.values.one({"type": "object", **schema}, {"definitions": schema.get("definitions", {})})
            manifest["sources"][path.name] = made
        if self.chance(0.2):
            manifest["metadata"] = {"generators": [{"name": "g", "version": "1"}], "exports": [{"name": "tree"}]}
        return manifest

    # Version 1

    def stage_1(self, folder="stages"):
        path = self.some(folder)
        _, options, top = self.options_of(path, 1)
        stage = {"name": path.name}
        if self.chance(0.9):
            stage["options"] = self.values.one(options, top)
        return stage

    def pipeline_1(self, depth):
        pipeline = {}
        if depth and self.chance(0.5):
            pipeline["build"] = {"pipeline": self.pipeline_1(depth - 1), "runner": "org.osbuild.fedora40"}
        if self.chance(0.9):
            pipeline["stages"] = [self.stage_1() for _ in range(self.rng.randrange(4))]
        if self.chance(0.5):
            pipeline["assembler"] = self.stage_1("assemblers")
        return pipeline

    def version_1(self):
        manifest = {"pipeline": self.pipeline_1(2)}
        if self.chance(0.5):
            manifest["sources"] = {"org.osbuild.files": {"urls": {c: "http://e.org/x" for c in self.checksums}}}
        return manifest

    # What is wrong with them

    def places(self, value, found):
        if isinstance(value, dict):
            for key in value:
                found.append((value, key))
                self.places(value[key], found)
        elif isinstance(value, list):
            for key, inner in enumerate(value):
                found.append((value, key))
                self.places(inner, found)
        return found

    def spoil(self, manifest):
        places = self.places(manifest, [])
        if not places:
            return
        container, key = self.rng.choice(places)
        how = self.rng.randrange(6)
        if how == 0:
            del container[key]
        elif how == 1 and isinstance(container, dict):
            container[self.rng.choice(["extra", "a b", "type", "name", "it's", ""])] = self.values.anything()
        elif how == 2 and isinstance(container, list):
            container.append(container[key])
        elif how == 3:
            other, name = self.rng.choice(places)
            if isinstance(other, (dict, list)) and name in (other if isinstance(other, dict) else range(len(other))):
                container[key] = json.loads(json.dumps(other[name]))
        elif how == 4 and isinstance(container[key], str):
            container[key] += self.rng.choice([" ", "\n", "x", "é", "'"])
        else:
            container[key] = self.values.anything()

    def text(self):
        manifest = self.version_1() if self.chance(0.25) else self.version_2()
        for _ in range(self.rng.choice([0, 0, 0, 1, 1, 2, 3])):
            self.spoil(manifest)
        text = json.dumps(manifest, ensure_ascii=self.chance(0.5) or "\\ud800" in json.dumps(manifest))
        for mark in (RAW, json.dumps(RAW)[1:-1]):
            text = re.sub(rf'"{re.escape(mark)}([^"]*)"', r"\1", text)
        return text
