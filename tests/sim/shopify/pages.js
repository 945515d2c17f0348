// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a connection field resolves to before it is known who asks: page() for a client that pages, all() for a bulk
// operation.
'use strict';

const { connect, numberOf } = require('./connection');

const by = {
  ID: { name: 'ID', of: (record) => numberOf(record.id) },
  UPDATED_AT: { name: 'UPDATED_AT', of: (record) => record.updatedAt },
  CREATED_AT: { name: 'CREATED_AT', of: (record) => record.createdAt },
  COMPLETED_AT: { name: 'COMPLETED_AT', of: (record) => record.completedAt },
  PROCESSED_AT: { name: 'PROCESSED_AT', of: (record) => record.processedAt },
  PUBLISHED_AT: { name: 'PUBLISHED_AT', of: (record) => record.publishedAt },
  TITLE: { name: 'TITLE', of: (record) => record.title },
  NAME: {
    name: 'NAME',
    of: (record) => record.displayName || record.name || [record.lastName, record.firstName].join(' '),
  },
  VENDOR: { name: 'VENDOR', of: (record) => record.vendor },
  PRODUCT_TYPE: { name: 'PRODUCT_TYPE', of: (record) => record.productType },
  SKU: { name: 'SKU', of: (record) => record.sku },
  POSITION: { name: 'POSITION', of: (record) => record.position },
  ORDER_NUMBER: { name: 'ORDER_NUMBER', of: (record) => record.number },
  STATUS: { name: 'STATUS', of: (record) => record.status },
  // Where the vendor's own order cannot be known, that of the ids.
  RELEVANCE: { name: 'RELEVANCE', of: (record) => numberOf(record.id) },
};

class Pages {
  /** Children of one record, in the order in which they stand, or sorted when `args.sortKey` says so. */
  constructor(list, args, field) {
    Object.assign(this, { list, args, field });
  }

  page() {
    return connect(this.list, this.args, this.args.sortKey ? by[this.args.sortKey] || by.ID : undefined, this.field);
  }

  all() {
    return this.list;
  }
}

class TablePages {
  /**
   * All records of a table that pass `test`. `name` is what tells this test from others, null when time goes into
   * it.
   */
  constructor(table, test, args, field, name) {
    Object.assign(this, { table, test, args, field, name });
  }

  page() {
    const key = by[this.args.sortKey] || by.ID;
    const { first, after, before, reverse } = this.args;
    const isHead = first != null && after == null && before == null && !reverse;
    const rows =
      this.table.giant && isHead
        ? this.table.head(key, this.name, this.test)
        : this.table.filtered(key, this.name, this.test);
    return connect(rows, this.args, { name: key.name, of: key.of, cached: true }, this.field);
  }

  *all() {
    for (const record of this.table.stream()) if (this.test(record)) yield record;
  }

  count() {
    let count = 0;
    for (const record of this.table.each()) if (this.test(record)) count += 1;
    return count;
  }
}

module.exports = { Pages, TablePages, by };
