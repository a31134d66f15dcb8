import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { internalNames, type ResolvedOptions } from '../dynamodb-options.ts'
import type { Timestamp } from './ttl-attribute.ts'

/** The parameters of a request that make it conditional. */
export interface Condition {
  readonly ConditionExpression: string
  readonly ExpressionAttributeNames: Record<string, string>
  readonly ExpressionAttributeValues: Record<string, AttributeValue>
}

// AND takes precedence over OR. A comparison with a missing attribute, or with one that is not a number, is false: such
// an item never expires.
const expired = '#t < :now OR #t = :now AND #e >= :early'
const notExpired = `NOT (${expired})`

/** Conditions on the stored item. An expired item that DynamoDB has not deleted yet does not exist for them. */
export class Conditions {
  readonly #names: Record<string, string>

  constructor({ key, value, ttl }: ResolvedOptions['names']) {
    this.#names = { '#k': key, '#v': value, '#t': ttl, '#e': internalNames.earlyMs }
  }

  exists(now: Timestamp): Condition {
    return this.#condition(`attribute_exists(#k) AND ${notExpired}`, now)
  }

  notExists(now: Timestamp): Condition {
    return this.#condition(`attribute_not_exists(#k) OR ${expired}`, now)
  }

  /** An item exists, and its value is one of `values`. */
  equals(now: Timestamp, values: readonly AttributeValue[]): Condition {
    const operands = Object.fromEntries(values.map((value, index) => [`:v${index}`, value]))
    const isEqual = Object.keys(operands).map((name) => `#v = ${name}`)
    return this.#condition(`(${isEqual.join(' OR ')}) AND ${notExpired}`, now, operands)
  }

  /**
   * An item exists, and its value is a number from `min` to `max`. With `orMissing`, even if the key is not in the table.
   */
  inRange(now: Timestamp, min: number, max: number, orMissing: boolean): Condition {
    const inRange = `#v BETWEEN :min AND :max AND ${notExpired}`
    const expression = orMissing ? `attribute_not_exists(#k) OR ${inRange}` : inRange
    return this.#condition(expression, now, { ':min': { N: `${min}` }, ':max': { N: `${max}` } })
  }

  #condition(
    expression: string,
    { seconds, earlyMs }: Timestamp,
    values: Record<string, AttributeValue> = {},
  ): Condition {
    // DynamoDB rejects requests with unused attribute names.
    const names = Object.entries(this.#names).filter(([name]) => expression.includes(name))
    return {
      ConditionExpression: expression,
      ExpressionAttributeNames: Object.fromEntries(names),
      ExpressionAttributeValues: {
        ':now': { N: `${seconds}` },
        ':early': { N: `${earlyMs}` },
        ...values,
      },
    }
  }
}
