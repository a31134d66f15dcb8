import { isUtf8 } from 'node:buffer'
import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import type { Payload } from '@stowage/core'
import { longestIntegerText, parseSafeInteger, toBytes, toText } from '@stowage/core/driver'

/** An item of the table, by the names of its attributes. */
export type Item = Record<string, AttributeValue>

// How DynamoDB writes a number: at most 38 digits, without zeros that say nothing.
const number = /^(?:0|-?(?:[1-9]\d{0,37}|(?:0|[1-9]\d{0,36})\.\d{0,36}[1-9]))$/

/**
 * The attribute that keeps a payload. A safe integer becomes a number, so that ADD can count it; other text stays text,
 * readable in the console and by other programs; bytes are binary.
 */
export function toAttribute(payload: Payload): AttributeValue {
  const integer = integerText(payload)
  if (integer !== undefined) return { N: integer }
  // A lone surrogate stands for U+FFFD, as in UTF-8.
  return typeof payload === 'string' ? { S: payload.toWellFormed() } : { B: payload }
}

/** The payload an attribute keeps, whoever wrote it; nothing for lists, maps and the like. */
export function toPayload(value: AttributeValue | undefined): Payload | undefined {
  return value?.S ?? value?.B ?? value?.N
}

/** Every attribute whose payload is these bytes: the same bytes may be kept as text, as a number or as binary. */
export function equalAttributes(payload: Payload): AttributeValue[] {
  const bytes = toBytes(payload)
  if (!isUtf8(bytes)) return [{ B: bytes }]
  const text = toText(payload)
  return [{ S: text.toWellFormed() }, { B: bytes }, ...(number.test(text) ? [{ N: text }] : [])]
}

/** The text of a payload that is a safe integer as JSON writes it. */
function integerText(payload: Payload): string | undefined {
  const isShort = payload.length > 0 && payload.length <= longestIntegerText
  if (!isShort) return undefined
  const text = toText(payload)
  return parseSafeInteger(text) === undefined ? undefined : text
}
