// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The simulator's own time: it starts where the test says, goes on with real time, and can be moved forward.
'use strict';

const DAY_S = 86400;
const DAYS_KEPT = 10000;
const days = new Map(); // the text of a day: a million records share a few hundred, and Date is slow

const two = (number) => (number < 10 ? `0${number}` : String(number));

/** `2026-11-20T08:00:00Z`: whole seconds, UTC, the shape that the vendor gives. */
function iso(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  const day = Math.floor(seconds / DAY_S);
  let text = days.get(day);
  if (text === undefined) {
    if (days.size >= DAYS_KEPT) days.clear();
    text = `${new Date(day * DAY_S * 1000).toISOString().slice(0, 11)}`;
    days.set(day, text);
  }
  const rest = seconds - day * DAY_S;
  return `${text}${two(Math.floor(rest / 3600))}:${two(Math.floor(rest / 60) % 60)}:${two(rest % 60)}Z`;
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
