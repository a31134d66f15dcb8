import { isUtf8 } from 'node:buffer'
import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import type { Payload } from '@stowage/core'
import { parseSafeInteger, toBytes, toText } from '@stowage/core/driver'
import { longestIntegerText } from '@stowage/core/internal'

/** An item of the table: attribute values by name. */
export type Item = Record<string, AttributeValue>

// How DynamoDB returns numbers: at most 38 significant digits, without leading or trailing zeros.
const numberText = /^(?:0|-?(?:[1-9]\d{0,37}|(?:0|[1-9]\d{0,36})\.\d{0,36}[1-9]))$/

/**
 * The attribute that stores a payload. A safe integer becomes a number, so that an update expression can add to it.
 * Other text is stored as a string, which the console and other programs can read. Bytes are stored as binary.
 */
export function toAttribute(payload: Payload): AttributeValue {
  const integer = integerText(payload)
  if (integer !== undefined) return { N: integer }
  // A lone surrogate becomes U+FFFD, as in UTF-8.
  return typeof payload === 'string' ? { S: payload.toWellFormed() } : { B: payload }
}

/** The payload of an attribute, which another program may have written. `undefined` for lists, maps and other types. */
export function toPayload(value: AttributeValue | undefined): Payload | undefined {
  return value?.S ?? value?.B ?? value?.N
}

/** All attributes that are equal to the payload: the same bytes may be stored as a string, a number or binary. */
export function equalAttributes(payload: Payload): AttributeValue[] {
  const bytes = toBytes(payload)
  if (!isUtf8(bytes)) return [{ B: bytes }]
  const text = toText(payload)
  const asNumber = numberText.test(text) ? [{ N: text }] : []
  return [{ S: text.toWellFormed() }, { B: bytes }, ...asNumber]
}

/** The text of a payload that is a safe integer, as JSON writes it. */
function integerText(payload: Payload): string | undefined {
  const isShort = payload.length > 0 && payload.length <= longestIntegerText
  if (!isShort) return undefined
  const text = toText(payload)
  return parseSafeInteger(text) === undefined ? undefined : text
}
