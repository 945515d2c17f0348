# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The smallest simulator: a list of notes. It shows how one is written, and test_server.py proves the package with it."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from server import Answer, Refusal, Route, Router, Simulator, options_of, serve  # noqa: E402


class Notes(Simulator):
    fault_kinds = {"odd": {"word"}}

    def __init__(self, options):
        super().__init__(options)
        self.notes = [f"note {number}" for number in range(options.notes)]
        self.router = Router([
            Route("GET", "/notes", self.list_notes, query=("size", "filter[*")),
            Route("POST", "/notes", self.make_note),
            Route("GET", "/notes/{id:int}", self.one_note),
            Route("GET", "/notes/first", lambda request: Answer(200, {"note": "first"})),
            Route("GET", "/broken", lambda request: 1 / 0),
        ])

    def admit(self, request):
        request.who = request.header("authorization")
        if request.who is None:
            raise Refusal(Answer(401, {"error": "who are you"}))

    def state(self, query):
        return {"notes": self.notes}

    def change(self, order):
        self.notes.append(order["note"])
        return {"count": len(self.notes)}

    def list_notes(self, request):
        odd = request.fault("odd")
        return Answer(200, {"notes": [odd["word"]] if odd else self.notes[:int(request.query.get("size", 1000))]})

    def one_note(self, request):
        return Answer(200, {"note": self.notes[request.params["id"]]})

    def make_note(self, request):
        try:
            body = request.json()
        except ValueError as problem:
            raise Refusal(Answer(400, {"error": str(problem)})) from None
        self.notes.append(body["note"])
        request.rows = [{"id": len(self.notes) - 1, "became": "created"}]
        return Answer(201, {"id": len(self.notes) - 1})


def main():
    parser = options_of(__doc__)
    parser.add_argument("--notes", type=int, default=3)
    serve(Notes(parser.parse_args()))


if __name__ == "__main__":
    main()
