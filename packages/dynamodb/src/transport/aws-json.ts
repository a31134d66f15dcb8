import { types } from 'node:util'
import type { AttributeValue } from '@aws-sdk/client-dynamodb'

type Attributes = Record<string, AttributeValue>

/** The members of outputs that contain items. */
interface Output {
  readonly Item?: Attributes
  readonly Attributes?: Attributes
  readonly Responses?: Record<string, Attributes[]>
  readonly UnprocessedItems?: Record<string, { PutRequest?: { Item: Attributes } }[]>
}

/** The JSON of a request. Bytes become base64. */
export function encodeInput(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value !== 'object' || value === null) return `${value}`
  if (Array.isArray(value)) return `[${value.map(encodeInput).join(',')}]`
  if (types.isUint8Array(value)) return `"${toBase64(value)}"`
  let members = ''
  for (const name of Object.keys(value)) {
    const member = (value as Record<string, unknown>)[name]
    if (member === undefined) continue
    if (members !== '') members += ','
    members += `${JSON.stringify(name)}:${encodeInput(member)}`
  }
  return `{${members}}`
}

/**
 * The output in the JSON of a reply. Binary attributes become bytes.
 *
 * @throws SyntaxError for the reply of another server
 */
export function decodeOutput(text: string): object {
  const output: Output = JSON.parse(text)
  if (typeof output !== 'object' || output === null || Array.isArray(output)) {
    throw new SyntaxError('the reply is not an object of JSON')
  }
  // Most values are text.
  if (!text.includes('"B":')) return output
  for (const attributes of attributesOf(output)) {
    for (const attribute of Object.values(attributes ?? {})) decodeBytes(attribute)
  }
  return output
}

function attributesOf({ Item, Attributes, Responses = {}, UnprocessedItems = {} }: Output) {
  const puts = Object.values(UnprocessedItems).flat()
  return [
    Item,
    Attributes,
    ...Object.values(Responses).flat(),
    ...puts.map(({ PutRequest }) => PutRequest?.Item),
  ]
}

function decodeBytes(attribute: { B?: unknown }): void {
  if (typeof attribute.B === 'string') attribute.B = Buffer.from(attribute.B, 'base64')
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}
