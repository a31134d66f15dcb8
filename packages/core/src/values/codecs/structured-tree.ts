import { types } from 'node:util'
import { toBytes } from '../payload.ts'
import { unencodable } from './unencodable.ts'

/** Protects the call stack from cycles and crafted payloads. */
const maxDepth = 500

/** The time to convert a BigInt from text and to text grows with the square of its digits. */
const maxBigIntDigits = 10_000
const bigIntBound = 10n ** BigInt(maxBigIntDigits)

const constants: ReadonlyMap<unknown, number | undefined> = new Map([
  ['undefined', undefined],
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
  ['-0', -0],
])

/** Returns whether `JSON.stringify` represents the value exactly. */
export function isExactInJson(value: unknown, depth = 0): boolean {
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0)
  if (typeof value !== 'object') return typeof value === 'string' || typeof value === 'boolean'
  if (value === null) return true
  if (depth === maxDepth) return false
  // Not every(), which skips the holes of a sparse array.
  const members = Array.isArray(value) ? value.values() : membersOfPlain(value)
  if (members === undefined) return false
  for (const member of members) if (!isExactInJson(member, depth + 1)) return false
  return true
}

/**
 * Returns the value as a tree of JSON types. Every array in a tree is `[tag, ...content]`, also those of the value, whose
 * tag is empty. Objects need no tag.
 *
 * @throws CacheError `ERR_CACHE_CODEC` for functions, symbols, instances of classes, cycles, more than 500 levels, and a
 *   BigInt of more than 10,000 digits
 */
export function toTree(value: unknown, depth = 0, root: unknown = value): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      if (isExactInJson(value)) return value
      return ['constant', Object.is(value, -0) ? '-0' : String(value)]
    case 'bigint':
      return ['BigInt', bigIntToText(value, root)]
    case 'undefined':
      return ['constant', 'undefined']
    case 'object':
      return value === null ? null : objectToTree(value, depth, root)
    default:
      throw unrepresentable(`a ${typeof value}`, value, root)
  }
}

function objectToTree(value: object, depth: number, root: unknown): unknown {
  if (depth === maxDepth) {
    throw unrepresentable(`a cycle, or more than ${maxDepth} levels,`, value, root)
  }
  const member = (each: unknown) => toTree(each, depth + 1, root)
  if (Array.isArray(value)) return ['', ...Array.from(value, member)]
  if (types.isDate(value)) return ['Date', value.getTime()]
  if (types.isMap(value)) return ['Map', ...[...value].flat().map(member)]
  if (types.isSet(value)) return ['Set', ...Array.from(value, member)]
  if (types.isUint8Array(value)) return ['bytes', toBytes(value).toString('base64')]
  if (isPlain(value)) return mapMembers(value, member)
  throw unrepresentable(`an instance of ${value.constructor?.name ?? 'a class'}`, value, root)
}

/** Returns the value of a tree. Throws if it is not one. */
export function fromTree(tree: unknown, depth = 0): unknown {
  if (typeof tree !== 'object' || tree === null) return tree
  // One level more than in the value, for a tagged scalar.
  if (depth > maxDepth) throw new Error('Too many levels')
  const member = (each: unknown) => fromTree(each, depth + 1)
  if (!Array.isArray(tree)) return mapMembers(tree, member)
  const [tag, ...content] = tree
  switch (tag) {
    case '':
      return content.map(member)
    case 'Map':
      return new Map(pairs(content.map(member)))
    case 'Set':
      return new Set(content.map(member))
    default:
      if (content.length === 1) return scalarOf(tag, content[0])
      throw new Error('Unknown tag')
  }
}

function scalarOf(tag: unknown, content: unknown): unknown {
  if (tag === 'constant' && constants.has(content)) return constants.get(content)
  if (tag === 'BigInt' && typeof content === 'string') return bigIntOf(content)
  if (tag === 'bytes' && typeof content === 'string') return Buffer.from(content, 'base64')
  if (tag === 'Date' && typeof content === 'number') return new Date(content)
  // JSON has null for NaN, the time of an invalid date.
  if (tag === 'Date' && content === null) return new Date(Number.NaN)
  throw new Error('Unknown tag')
}

function bigIntToText(value: bigint, root: unknown): string {
  if (value <= -bigIntBound || value >= bigIntBound) {
    throw unrepresentable(`a BigInt of more than ${maxBigIntDigits} digits`, value, root)
  }
  return String(value)
}

function bigIntOf(text: string): bigint {
  const digits = text.startsWith('-') ? text.length - 1 : text.length
  if (digits > maxBigIntDigits) throw new Error('Too many digits')
  return BigInt(text)
}

function pairs(content: readonly unknown[]): [unknown, unknown][] {
  if (content.length % 2 > 0) throw new Error('A key without a value')
  return Array.from({ length: content.length / 2 }, (_, i) => [content[2 * i], content[2 * i + 1]])
}

/** Defines the members instead of assigning them: an assignment to `__proto__` would set the prototype. */
function mapMembers(value: object, map: (member: unknown) => unknown): object {
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, map(member)]))
}

function membersOfPlain(value: object): Iterable<unknown> | undefined {
  return isPlain(value) ? Object.values(value) : undefined
}

/** Whether the prototype is that of objects, also of another realm, or none. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function unrepresentable(what: string, member: unknown, root: unknown): Error {
  return unencodable('structured', `${what} has no representation`, {
    culprit: { value: root, isAt: (each) => each === member },
  })
}
