import { types } from 'node:util'
import { unencodable } from '@stowage/core/driver'

/** The maximum number of levels of a value. */
export const maxDepth = 500

/**
 * Checks a value, because the library would convert some of them silently: a `Map` to an empty map, a typed array to its
 * bytes, a lone surrogate to another character.
 *
 * @throws CacheError `ERR_CACHE_CODEC` for a value that MessagePack does not represent
 */
export function assertRepresentable(value: unknown, depth = 0, root: unknown = value): void {
  switch (typeof value) {
    case 'string':
      if (!value.isWellFormed()) {
        throw unrepresentable('a lone surrogate has no representation', value, root)
      }
      return
    case 'number':
    case 'boolean':
      return
    case 'object':
      if (value !== null) assertObject(value, depth, root)
      return
    case 'undefined':
      if (depth > 0) return
  }
  throw unrepresentable(`a ${typeof value} has no representation`, value, root)
}

function assertObject(value: object, depth: number, root: unknown): void {
  if (depth === maxDepth) {
    throw unrepresentable(`it has a cycle, or more than ${maxDepth} levels`, value, root)
  }
  if (types.isUint8Array(value)) return
  if (types.isDate(value)) assertDate(value, root)
  else if (Array.isArray(value)) {
    for (const member of value) assertRepresentable(member, depth + 1, root)
  } else assertMembers(value, depth, root)
}

function assertMembers(value: object, depth: number, root: unknown): void {
  if (!isPlain(value)) {
    throw unrepresentable(
      `an instance of ${value.constructor?.name ?? 'a class'} has no representation`,
      value,
      root,
    )
  }
  for (const [name, member] of Object.entries(value)) assertMember(name, member, depth, root)
}

function assertMember(name: string, member: unknown, depth: number, root: unknown): void {
  // The library refuses to read it.
  if (name === '__proto__')
    throw unrepresentable('a key __proto__ has no representation', member, root)
  assertRepresentable(name, depth, root)
  assertRepresentable(member, depth + 1, root)
}

function assertDate(date: Date, root: unknown): void {
  if (Number.isNaN(date.getTime())) {
    throw unrepresentable('an invalid Date has no representation', date, root)
  }
}

/** Whether the prototype is that of objects, also of another realm, or none. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function unrepresentable(problem: string, member: unknown, root: unknown): Error {
  return unencodable('as MessagePack', problem, {
    culprit: { value: root, isAt: (each) => each === member },
  })
}
