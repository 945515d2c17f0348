# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Whether an answer is one that the vendor gives, where its document leaves that open.

For a validator any status is right that falls to `default`, and a refusal there may say anything. Here successes have a status that
their operation declares, refusals the vendor's common shapes, and what the document does not know at all is refused, or has a shape
that the vendor's spec module (<vendor>_spec.py) gives for it:

STATUSES    [(method, path pattern, status)]: successes that are real and not declared.
OWN         [(method, path pattern, status, shape)]: what is there and not in the document. The shape None: of any body.
REFUSALS    [(path pattern, status, media type, shape)]: how it says no. The media type None: without a body.
FAULTS      {name of a fault: more of REFUSALS, where it struck}
HEADERS     [(path pattern, status, name of a header that goes with it)]
"""

import fnmatch
import json
import re


def fits(value, shape):
    """`shape`: a type; a number; a pattern of text; a tuple of shapes, of which one; [shape] for a list; {name: shape} for an object
    with these members and no others, where `name?` may be absent and `*` stands for any name."""
    if isinstance(shape, tuple):
        return any(fits(value, one) for one in shape)
    if isinstance(shape, int):
        return value == shape and type(value) is int
    if isinstance(shape, re.Pattern):
        return isinstance(value, str) and shape.search(value) is not None
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(one, shape[0]) for one in value)
    if not isinstance(shape, dict):
        return isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
    if not isinstance(value, dict):
        return False
    named = {name.rstrip("?"): inside for name, inside in shape.items() if name != "*"}
    return all(name.endswith("?") or name == "*" or name in value for name in shape) and all(
        fits(one, named[name]) if name in named else "*" in shape and fits(one, shape["*"]) for name, one in value.items())


def body_fits(answer, shape):
    """A pattern as the shape is of the text; for others the body is JSON."""
    if isinstance(shape, re.Pattern):
        return fits(answer.raw.decode("utf-8", "replace"), shape)
    try:
        return fits(json.loads(answer.raw), shape)
    except ValueError:
        return False


def media_type(answer):
    given = next((value for name, value in answer.headers if name.lower() == "content-type"), answer.content_type) if answer.raw else None
    return given.partition(";")[0].strip() if given else None


def shown(answer):
    return f"{answer.status} {media_type(answer)} {answer.raw[:200].decode('utf-8', 'replace')!r}"


def refusal(spec, path, answer, faults):
    """What is wrong with a refusal, or None."""
    more = [rule for name in faults for rule in spec.FAULTS.get(name, ())]
    rules = [rule for rule in spec.REFUSALS + more if fnmatch.fnmatchcase(path, rule[0]) and rule[1] == answer.status]
    if not any(media_type(answer) == kind and (kind is None or body_fits(answer, shape)) for _, _, kind, shape in rules):
        return f"no refusal of this vendor: {shown(answer)}"
    given = {name.lower() for name, value in answer.headers if value}
    missing = [name for pattern, status, name in spec.HEADERS
               if fnmatch.fnmatchcase(path, pattern) and status == answer.status and name.lower() not in given]
    return f"{answer.status} without the header {missing[0]}" if missing else None


def wrong(spec, found, method, path, answer, faults=()):
    """What is wrong with an answer besides what a validator sees, or None. `found`: the operation as Lint.find() gives it; `faults`: the
    names of those that struck the request."""
    if answer.status >= 400:
        return refusal(spec, path, answer, faults)
    if found is not None:
        real = any(answer.status == status and fnmatch.fnmatchcase(path, pattern) and method == verb
                   for verb, pattern, status in spec.STATUSES)
        return None if real or str(answer.status) in found[1]["responses"] else f"the status {answer.status} is not declared"
    rules = [shape for verb, pattern, status, shape in spec.OWN
             if verb == method and fnmatch.fnmatchcase(path, pattern) and status == answer.status]
    if any(shape is None or body_fits(answer, shape) for shape in rules):
        return None
    return f"an answer to what the document does not have: {shown(answer)}"
