// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The simulator's own time: it starts where the test says, goes on with real time, and can be moved forward.
'use strict';

/** `2026-11-20T08:00:00Z`: whole seconds, UTC, the shape that the vendor gives. */
function iso(milliseconds) {
  return new Date(Math.floor(milliseconds / 1000) * 1000).toISOString().replace('.000Z', 'Z');
}

class Clock {
  constructor(start) {
    this.base = start ? Date.parse(start) : Date.now();
    if (Number.isNaN(this.base)) throw new Error(`--now ${start} is no ISO time`);
    this.begun = performance.now();
  }

  now() {
    return this.base + performance.now() - this.begun;
  }

  iso() {
    return iso(this.now());
  }

  advance(seconds) {
    if (!(seconds >= 0)) throw new Error('time goes forward only');
    this.base += seconds * 1000;
  }
}

module.exports = { Clock, iso };
