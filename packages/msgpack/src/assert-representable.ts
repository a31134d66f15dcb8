import { types } from 'node:util'
import { CacheError } from '@stowage/core'

/** The maximum number of levels of a value. */
export const maxDepth = 500

/**
 * Checks a value, because the library would convert some of them silently: a `Map` to an empty map, a typed array to its
 * bytes, a lone surrogate to another character.
 *
 * @throws CacheError `ERR_CACHE_CODEC` for a value that MessagePack does not represent
 */
export function assertRepresentable(value: unknown, depth = 0): void {
  switch (typeof value) {
    case 'string':
      if (!value.isWellFormed()) throw unencodable('a lone surrogate has no representation')
      return
    case 'number':
    case 'boolean':
      return
    case 'object':
      if (value !== null) assertObject(value, depth)
      return
    case 'undefined':
      if (depth > 0) return
  }
  throw unencodable(`a ${typeof value} has no representation`)
}

function assertObject(value: object, depth: number): void {
  if (depth === maxDepth) throw unencodable(`it has a cycle, or more than ${maxDepth} levels`)
  if (value instanceof Uint8Array) return
  if (types.isDate(value)) assertDate(value)
  else if (Array.isArray(value)) {
    for (const member of value) assertRepresentable(member, depth + 1)
  } else assertMembers(value, depth)
}

function assertMembers(value: object, depth: number): void {
  if (!isPlain(value)) {
    throw unencodable(
      `an instance of ${value.constructor?.name ?? 'a class'} has no representation`,
    )
  }
  for (const [name, member] of Object.entries(value)) assertMember(name, member, depth)
}

function assertMember(name: string, member: unknown, depth: number): void {
  // The library refuses to read it.
  if (name === '__proto__') throw unencodable('a key __proto__ has no representation')
  assertRepresentable(name, depth)
  assertRepresentable(member, depth + 1)
}

function assertDate(date: Date): void {
  if (Number.isNaN(date.getTime())) throw unencodable('an invalid Date has no representation')
}

/** Whether the prototype is that of objects, also of another realm, or none. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function unencodable(reason: string): CacheError {
  return new CacheError(
    'ERR_CACHE_CODEC',
    `The value cannot be stored as MessagePack: ${reason}.`,
    { operation: 'encode' },
  )
}
