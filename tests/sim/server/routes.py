# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Paths by templates: `/api/v2/users/{id}/tags`. A segment in braces takes any one segment, `{id:int}` only digits.

A literal segment goes before a taking one, so `/users/me` is found before `/users/{id}`. Each route says which query names it
declares; what is done with others is the simulator's matter.
"""


class Route:
    """`query`: declared names, each exact, or a prefix that ends in `*`. `options`: whatever the simulator keeps with a route."""

    def __init__(self, method, template, handler, query=(), **options):
        self.method, self.template, self.handler, self.options = method, template, handler, options
        self.segments = template.strip("/").split("/")
        self.exact = frozenset(name for name in query if not name.endswith("*"))
        self.prefixes = tuple(name[:-1] for name in query if name.endswith("*"))

    def match(self, segments):
        params = {}
        for wanted, given in zip(self.segments, segments):
            if wanted.startswith("{"):
                name, _, kind = wanted[1:-1].partition(":")
                if not given or (kind == "int" and not given.isdecimal()):
                    return None
                params[name] = int(given) if kind == "int" else given
            elif wanted != given:
                return None
        return params

    def undeclared(self, pairs):
        """The query names of a request that this route does not declare."""
        return sorted({name for name, _ in pairs
                       if name not in self.exact and not (self.prefixes and name.startswith(self.prefixes))})


class Router:
    def __init__(self, routes):
        self.by_length = {}
        for route in routes:
            self.by_length.setdefault(len(route.segments), []).append(route)
        for same in self.by_length.values():
            same.sort(key=lambda route: [segment.startswith("{") + segment.endswith(":int}") * -0.5
                                         for segment in route.segments])

    def find(self, method, path):
        """(route, params), or (None, methods that the path would take: empty when there is no such path)."""
        segments = path.strip("/").split("/")
        allowed = []
        for route in self.by_length.get(len(segments), ()):
            params = route.match(segments)
            if params is None:
                continue
            if route.method == method:
                return route, params
            allowed.append(route.method)
        return None, sorted(set(allowed))
