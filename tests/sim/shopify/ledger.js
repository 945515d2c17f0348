// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What was asked and what became of it: JSON lines, only ever appended to, on the disk before the answer leaves.
'use strict';

const fs = require('fs');

class Ledger {
  constructor(path, brief) {
    this.path = path;
    this.brief = brief;
    this.count = 0;
    this.file = null;
    if (path) {
      this.file = fs.openSync(path, 'a');
      const before = fs.readFileSync(path);
      const whole = before.subarray(0, before.lastIndexOf(0x0a) + 1); // a killed writer leaves half a line
      this.count = whole.toString('utf8').split('\n').length - 1;
      fs.ftruncateSync(this.file, whole.length);
    }
  }

  write(entry) {
    this.count += 1;
    if (this.file === null) return;
    fs.writeSync(this.file, JSON.stringify({ number: this.count, ...entry }) + '\n');
    if (!this.brief) fs.fdatasyncSync(this.file);
  }

  text() {
    return this.path ? fs.readFileSync(this.path) : Buffer.alloc(0);
  }
}

module.exports = { Ledger };
