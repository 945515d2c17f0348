// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Numbers that depend on nothing but (seed, what, index), so that the n-th record can be made without those before it.
'use strict';

function mix(value) {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
  h = Math.imul(h ^ (h >>> 15), 0x735a2d97);
  return (h ^ (h >>> 15)) >>> 0;
}

function textHash(text) {
  let h = 2166136261;
  for (let at = 0; at < text.length; at++) h = Math.imul(h ^ text.charCodeAt(at), 16777619);
  return h | 0;
}

const salts = new Map();

/** A whole number from 0 to 2^32-1. */
function hash(seed, what, index) {
  let salt = salts.get(what);
  if (salt === undefined) {
    salt = textHash(what);
    salts.set(what, salt);
  }
  return mix(mix(mix(seed ^ salt) ^ (index | 0)) ^ Math.floor(index / 4294967296));
}

const pick = (list, number) => list[number % list.length];

module.exports = { hash, pick };
