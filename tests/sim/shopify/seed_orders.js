// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Orders at the start, with lines, transactions, refunds, fulfillments and shipping lines; lines of drafts and
// checkouts.
'use strict';

const { pick } = require('./random');
const { Seed, CHILD, DAY, gid, cents } = require('./seed');
const { iso } = require('./clock');

const PLACES_PER_PARENT = 4;
const ORDER_DAYS = 400;

const childId = (type, parent, place) => gid(type, CHILD[type] + parent * PLACES_PER_PARENT + place);

const methods = {
  Order(i) {
    const { Order } = this.counts;
    const h = this.h('order', i);
    const created = Math.floor((i / Order) * (ORDER_DAYS - 1) * DAY);
    const group = Math.floor(i / 3);
    const settled =
      Math.floor(((3 * group + 3) / Order) * (ORDER_DAYS - 1) * DAY) + (this.h('order-time', group) % (5 * DAY));
    const at = (seconds) => iso((this.start - Math.max(60, ORDER_DAYS * DAY - seconds)) * 1000);
    const customer = this.customerOf(i);
    const refunded = h % 9 === 0;
    const cancelled = h % 37 === 0;
    return {
      __typename: 'Order',
      id: this.id('Order', i),
      $i: i,
      name: `#${1001 + i}`,
      number: 1001 + i,
      $customer: customer < 0 ? null : this.id('Customer', customer),
      email: customer < 0 ? (h % 2 ? `guest.${i}@example.com` : null) : this.emailOf(customer),
      phone: null,
      note: h % 10 ? null : 'Leave at the door / 玄関',
      tags: h % 6 ? [] : ['gift', 'express'],
      test: false,
      currencyCode: 'EUR',
      presentmentCurrencyCode: h % 12 ? 'EUR' : 'USD',
      taxesIncluded: true,
      confirmed: true,
      createdAt: at(created),
      processedAt: at(created),
      updatedAt: at(Math.max(created, settled)),
      cancelledAt: cancelled ? at(Math.max(created, settled)) : null,
      cancelReason: cancelled ? 'CUSTOMER' : null,
      closedAt: null,
      closed: false,
      $refunded: refunded,
      $lineCount: 1 + (h % 4),
      sourceName: pick(['web', 'pos', 'tiktok'], h >>> 4),
      displayFinancialStatus: refunded ? 'PARTIALLY_REFUNDED' : h % 14 === 0 ? 'PENDING' : 'PAID',
      displayFulfillmentStatus: h % 5 ? 'FULFILLED' : 'UNFULFILLED',
      $shippingCents: h % 3 ? 990 : 0,
      customAttributes: h % 8 ? [] : [{ key: 'gift_message', value: 'Grüße 🎂' }],
      $address: h,
    };
  },

  line(type, parent, place, h) {
    const count = this.counts.ProductVariant;
    const variant = count ? (h >>> 3) % count : -1;
    const unit = variant < 0 ? 999 : this.price(variant);
    const custom = variant < 0 || h % 21 === 0;
    const title = custom ? 'Custom engraving / Gravur' : this.titleOf(this.productOf(variant));
    const product = custom ? null : this.productOf(variant);
    return {
      __typename: type,
      id: childId(type, parent, place),
      quantity: 1 + (h % 3),
      $unit: unit,
      $discount: type === 'DraftOrderLineItem' && h % 3 === 2 ? Math.floor(unit / 10) : 0,
      title,
      sku: custom ? null : `SKU-${variant + 1}`,
      name: title,
      vendor: custom ? null : 'Northwind',
      $variant: custom ? null : this.id('ProductVariant', variant),
      $product: custom ? null : this.id('Product', product),
      variantTitle: null,
      custom,
      isGiftCard: false,
      taxable: true,
      requiresShipping: true,
      uuid: `line-${parent}-${place}`,
    };
  },

  lines(record) {
    const i = record.$i;
    if (i === undefined) return [];
    const { type, what, count } = {
      Order: { type: 'LineItem', what: 'line', count: record.$lineCount },
      DraftOrder: { type: 'DraftOrderLineItem', what: 'draft-line', count: 1 + (i % 3) },
      AbandonedCheckout: { type: 'AbandonedCheckoutLineItem', what: 'checkout-line', count: 1 + (i % 2) },
    }[record.__typename];
    return Array.from({ length: count }, (_, place) =>
      this.line(type, i, place, this.h(what, i * PLACES_PER_PARENT + place)),
    );
  },

  /** The sum of an order's lines in cents, without making them. */
  sumOf(record, lines) {
    return lines.reduce((sum, line) => sum + line.$unit * line.quantity - (line.$discount || 0), 0);
  },

  transactions(order, total) {
    if (order.$i === undefined) return [];
    const base = {
      __typename: 'OrderTransaction',
      $order: order.id,
      gateway: 'shopify_payments',
      test: false,
      errorCode: null,
      formattedGateway: 'Shopify Payments',
      createdAt: order.createdAt,
      processedAt: order.processedAt,
    };
    const list = [
      {
        ...base,
        id: childId('OrderTransaction', order.$i, 0),
        kind: 'SALE',
        $cents: total,
        status: order.displayFinancialStatus === 'PENDING' ? 'PENDING' : 'SUCCESS',
      },
    ];
    if (order.$refunded) {
      list.push({
        ...base,
        id: childId('OrderTransaction', order.$i, 1),
        kind: 'REFUND',
        status: 'SUCCESS',
        $parent: list[0],
        $cents: Math.floor(total / 4),
        createdAt: order.updatedAt,
        processedAt: order.updatedAt,
      });
    }
    return list;
  },

  refunds(order, lines, total) {
    if (order.$i === undefined || !order.$refunded) return [];
    return [
      {
        __typename: 'Refund',
        id: childId('Refund', order.$i, 0),
        $order: order.id,
        note: 'broken',
        createdAt: order.updatedAt,
        processedAt: order.updatedAt,
        updatedAt: order.updatedAt,
        $cents: Math.floor(total / 4),
        $lines: [
          {
            __typename: 'RefundLineItem',
            id: childId('RefundLineItem', order.$i, 0),
            $line: lines[0],
            quantity: 1,
            restockType: 'RETURN',
            restocked: true,
            $cents: lines[0].$unit,
          },
        ],
      },
    ];
  },

  fulfillments(order, lines) {
    if (order.$i === undefined || order.displayFulfillmentStatus !== 'FULFILLED') return [];
    return [
      {
        __typename: 'Fulfillment',
        id: childId('Fulfillment', order.$i, 0),
        $order: order.id,
        name: `${order.name}-F1`,
        status: 'SUCCESS',
        displayStatus: order.$i % 2 ? 'DELIVERED' : 'IN_TRANSIT',
        createdAt: order.updatedAt,
        updatedAt: order.updatedAt,
        deliveredAt: order.$i % 2 ? order.updatedAt : null,
        $location: this.id('Location', 0),
        totalQuantity: lines.reduce((sum, line) => sum + line.quantity, 0),
        requiresShipping: true,
        $tracking: [{ company: 'Posten', number: `NO${order.$i}`, url: `https://track.example/${order.$i}` }],
        $lines: lines.map((line, at) => ({
          __typename: 'FulfillmentLineItem',
          $line: line,
          quantity: line.quantity,
          id: childId('FulfillmentLineItem', order.$i, at),
        })),
      },
    ];
  },

  shippingLines(order) {
    if (order.$i === undefined) return [];
    return [
      {
        __typename: 'ShippingLine',
        id: childId('ShippingLine', order.$i, 0),
        title: 'Standard',
        code: 'standard',
        source: 'shopify',
        carrierIdentifier: null,
        custom: false,
        isRemoved: false,
        $cents: order.$shippingCents,
      },
    ];
  },

  orderAddress(order, kind) {
    if (order.$i === undefined || order.$address === undefined || (order.$address % 15 === 0 && kind === 1))
      return null;
    const customer = this.customerOf(order.$i);
    const who = customer < 0 ? { firstName: 'Guest', lastName: null } : this.Customer(customer);
    const number = 1000000000 + order.$i * 2 + kind;
    return this.address('Address', number, order.$address >>> (2 * kind + 1), who.firstName, who.lastName);
  },

  addressesOf(customer) {
    if (customer.$i === undefined) return [];
    const h = this.h('addresses', customer.$i);
    return Array.from({ length: h % 4 }, (_, at) =>
      this.address(
        'CustomerAddress',
        customer.$i * PLACES_PER_PARENT + at,
        (h >>> 3) + at,
        customer.firstName,
        customer.lastName,
      ),
    );
  },
};

Object.assign(Seed.prototype, methods);

module.exports = { cents };
