"""Reads YAML: Compose files, Kubernetes manifests, Helm charts and values, workflows, any other.

Containers are read with what stands around them (:mod:`~gemma4ctl.checking.readers.compose`,
:mod:`~gemma4ctl.checking.readers.kubernetes`, :mod:`~gemma4ctl.checking.readers.helm`). Whatever
they leave is walked: a text that starts SGLang is read as a script, a list as a command. What is
no YAML even without its templates is read in fragments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import yaml

from gemma4ctl.checking.launch import Launch, Place, Word
from gemma4ctl.checking.readers import compose, embedded_file, helm, kubernetes, limits, yaml_tree
from gemma4ctl.checking.readers.excerpt import Lines
from gemma4ctl.checking.readers.shell import Context, read_command, read_script
from gemma4ctl.checking.readers.variables import Variables
from gemma4ctl.checking.readers.yaml_containers import Declared, Kind, image_name, item
from gemma4ctl.checking.readers.yaml_scalars import excerpt
from gemma4ctl.checking.readers.yaml_templates import is_template, masked
from gemma4ctl.checking.readers.yaml_tree import MASK, Mapping, Node, Scalar, Sequence
from gemma4ctl.errors import UsageError

MAX_DOCUMENTS = 5_000

_DOCUMENT_END = re.compile(r"^(?:---|\.\.\.)(?=[ \t\r\n]|\Z)", re.MULTILINE)
_SCRIPT = re.compile(r"\bsglang\s+serve\b|\bsglang(?:_router)?\.launch_server\b")
_OPEN_SERVICE = re.compile(r"\b(?:LoadBalancer|NodePort)\b")
_HIDDEN = "…"  # in the place of what a template or a variable gives


def read_yaml(path: Path | None, text: str) -> list[Launch]:
    """The SGLang launches in the YAML file ``path`` (None: standard input), in order.

    Raises:
        UsageError: a document that concerns SGLang nests too deeply or is too large, or there are
            too many documents.
    """
    if "sglang" not in text:
        return []
    documents = list(_documents(text))
    if len(documents) > MAX_DOCUMENTS:
        raise UsageError(
            "the YAML holds too many documents to be a deployment",
            needed=f"at most {MAX_DOCUMENTS}",
            found=str(len(documents)),
            remedies=["check only the part of it that starts SGLang"],
            code="yaml-too-large",
        )
    selectors = kubernetes.open_selectors(
        [document.root for document in documents if _OPEN_SERVICE.search(document.source)]
    )
    found: list[Launch] = []
    for document in documents:
        if "sglang" in document.source:
            found += _Reader(str(path or "-"), text, document, selectors).launches()
    return sorted(found, key=lambda launch: (launch.place.line, launch.place.column))


class Document:
    """One document of a YAML file; ``source`` is its text, which begins at ``start``."""

    def __init__(self, start: int, source: str) -> None:
        self.start = start
        self.source = source

    @cached_property
    def roots(self) -> list[Node]:
        """Its tree; the fragments that can be read where all of it cannot."""
        for text in self._readings():
            try:
                root = yaml_tree.compose(text, self.start)
            except (yaml.YAMLError, UnicodeEncodeError):
                continue
            return [root] if root is not None else []
        from gemma4ctl.checking.readers.yaml_fragments import fragments

        return list(fragments(masked(self.source, inserted_items=True), self.start))

    @property
    def root(self) -> Node | None:
        """Its tree, where there is one."""
        return self.roots[0] if self.roots else None

    def _readings(self) -> Iterator[str]:
        """What may be YAML: the text, or the text with its templates masked."""
        if not is_template(self.source):
            yield self.source
            return
        yield masked(self.source, inserted_items=True)
        yield masked(self.source, inserted_items=False)


def _documents(text: str) -> Iterator[Document]:
    start = 0
    for mark in _DOCUMENT_END.finditer(text):
        yield Document(start, text[start : mark.start()])
        start = mark.end()
    yield Document(start, text[start:])


class _Reader:
    """Collects the launches of one document."""

    def __init__(
        self, path: str, text: str, document: Document, selectors: list[dict[str, str]]
    ) -> None:
        self.path = path
        self.text = text
        self.document = document
        self.selectors = selectors
        self.found: list[Launch] = []
        self.alike: dict[Place, list[Launch]] = {}  # found, by place
        self.read: set[int] = set()  # nodes that need no second reading

    def launches(self) -> list[Launch]:
        """The launches, those of containers first."""
        for root in self.document.roots:
            for nodes, container in self._containers(root):
                self._add(container, nodes)
            self._walk(root)
        return self.found

    @cached_property
    def kind(self) -> Kind:
        """What kind of YAML this is."""
        root = self.document.root
        if compose.is_compose(root):
            return "compose"
        if "{{" in self.document.source and ".Values" in self.document.source:
            return "helm"
        if kubernetes.is_manifest(root):
            return "kubernetes"
        if isinstance(root, Mapping) and root.get("jobs") is not None:
            return "workflow"
        return "yaml"

    def _containers(self, root: Node) -> Iterator[tuple[list[Node], Declared]]:
        """The declared containers under ``root``, each with the nodes that say what it runs."""
        if self.kind == "compose" and isinstance(root, Mapping):
            declared = compose.containers(root, self.text)
        else:
            declared = kubernetes.containers(root, self.text, self.selectors, self.kind)
        for node, container in declared:
            commands = (node.get(name) for name in ("entrypoint", "command", "args"))
            yield [command for command in commands if command is not None], container
        if self.kind in ("yaml", "helm"):
            for nodes, container in helm.containers(root, self.text):
                if not any(id(node) in self.read for node in nodes):
                    yield nodes, container

    def _add(self, container: Declared, nodes: list[Node]) -> None:
        """Adds what ``container`` starts; without that, its nodes are left to the walk."""
        context = self._context(container)
        launches = read_command(list(container.fields), context)
        if not launches and container.runs_sglang_itself:
            launches = [_flags_only(container, context)]
        for launch in launches:
            shown = _shown(launch, container)
            alike = self.alike.setdefault(shown.place, [])
            if shown not in alike:
                alike.append(shown)
                self.found.append(shown)
        if launches:
            self.read |= {id(node) for node in nodes}

    def _context(self, container: Declared) -> Context:
        return Context(
            path=self.path,
            kind=container.kind,
            lines=self._lines,
            variables=Variables(container.environment),
            environment=container.environment,
            image=container.image,
            vendor=container.vendor,
            published=container.published,
        )

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self.text)

    # --- everything else

    def _walk(self, root: Node) -> None:
        """Reads the texts and lists under ``root`` that no container has read."""
        waiting: list[tuple[str, Node, Declared]] = [("", root, Declared(self.kind, ()))]
        while waiting:
            name, node, around = waiting.pop()
            if id(node) in self.read:
                continue
            self.read.add(id(node))
            if isinstance(node, Scalar):
                self._script(name, node, around)
            elif isinstance(node, Sequence):
                if not self._command(node, around):
                    waiting += [(name, entry, around) for entry in reversed(node.items)]
            else:
                around = self._within(node, around)
                waiting += [
                    (key.value, value, around) for key, value in reversed(list(node.items()))
                ]

    def _within(self, node: Mapping, around: Declared) -> Declared:
        """What ``node`` adds to what is known of the place around it, as in a workflow."""
        variables = dict(around.environment)
        for name in ("env", "environment", "variables"):
            for key, value in node.mapping(name).items():
                if isinstance(value, Scalar):
                    known = excerpt(value, self.text)
                    variables[key.value] = known.text if known.certain else None
        image = image_name(node.get("image"), self.text)
        return around._replace(environment=variables, image=image or around.image)

    def _script(self, name: str, node: Scalar, around: Declared) -> None:
        file = node.style == "|" and "sglang" in node.value
        if not (file or _SCRIPT.search(node.value)):
            return
        value, context = excerpt(node, self.text), self._context(around)
        launches = embedded_file(name, value, context) if file else read_script(value, context)
        # "sglang serve starts the server" is prose.
        commands = [one for one in launches if any(word.text[:1] == "-" for word in one.words)]
        self.found += [_shown(launch, around) for launch in commands]

    def _command(self, node: Sequence, around: Declared) -> bool:
        """Whether the list ``node`` is a command that starts SGLang."""
        if not all(isinstance(entry, Scalar) for entry in node.items[:3]):
            return False
        scalars = [entry for entry in node.items if isinstance(entry, Scalar)]
        if not scalars or not _SCRIPT.search(" ".join(entry.value for entry in scalars[:8])):
            return False
        if any(_SCRIPT.search(entry.value) and " " in entry.value for entry in scalars):
            return False  # scripts, not words
        fields = [item(entry, self.text, lambda value: value) for entry in scalars]
        launches = read_command(fields, self._context(around))
        self.found += [_shown(launch, around) for launch in launches]
        return bool(launches)


def _flags_only(container: Declared, context: Context) -> Launch:
    """The launch of a container whose image starts SGLang with the words it is given."""
    limits.launch(len(container.fields))
    return Launch(
        path=context.path,
        kind=context.kind,
        entry="serve",
        words=tuple(word.word(context.lines) for word in container.fields),
        place=context.lines.place(container.fields[0].offset),
        environment=container.environment,
        image=container.image,
        vendor=container.vendor,
        published=container.published,
    )


def _shown(launch: Launch, container: Declared) -> Launch:
    """``launch`` with what its container says of hardware, and without masks."""
    words = tuple(_shown_word(word) for word in launch.words)
    return launch._replace(words=words, directives={**launch.directives, **container.directives})


def _shown_word(word: Word) -> Word:
    if MASK not in word.text:
        return word
    return word._replace(text=re.sub(f"{MASK}+", _HIDDEN, word.text), certain=False)
