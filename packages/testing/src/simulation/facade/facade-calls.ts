import type { Cache, ReadOptions } from '@stowage/core'
import fc from 'fast-check'
import { anyResult, type KeyCall } from './register.ts'
import type { KeyEffect } from './register-history.ts'

/** A call of the facade. Values are integers, so that each of them is a counter as well. */
export type FacadeCall = {
  /** Whether the call is made in a namespace. */
  readonly inNamespace: boolean
} & (
  | { readonly op: 'get' | 'has' | 'delete' | 'pull'; readonly key: string }
  | {
      readonly op: 'set' | 'add' | 'replace' | 'update'
      readonly key: string
      readonly value: number
      readonly ttl?: number | undefined
    }
  | {
      readonly op: 'increment'
      readonly key: string
      readonly by: number
      readonly ttl?: number | undefined
    }
  | { readonly op: 'touch'; readonly key: string; readonly ttl?: number | undefined }
  | { readonly op: 'getMany' | 'deleteMany'; readonly keys: readonly string[] }
  | { readonly op: 'setMany'; readonly keys: readonly string[]; readonly value: number }
  | { readonly op: 'clear' }
  /** Many calls of `replace` at once. */
  | { readonly op: 'burst' }
)

export const facadeKeys = ['key0', 'key1', 'key2'] as const

const burstKey = 'key-burst'
/** More than the attempts of one call. */
const burstCalls = 120
const inNamespace = fc.nat({ max: 4 }).map((draw) => draw === 4)
const key = fc.constantFrom(...facadeKeys)
const keys = fc.uniqueArray(key, { minLength: 1, maxLength: 3 })
const value = fc.nat({ max: 9_999 })
const ttl = fc.oneof(
  { weight: 4, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 60 }) },
)

const read = fc.record({
  op: fc.constantFrom('get', 'get', 'has', 'delete', 'pull'),
  key,
  inNamespace,
})
const write = fc.record({
  op: fc.constantFrom('set', 'set', 'add', 'replace', 'update'),
  key,
  value,
  ttl,
  inNamespace,
})
const others = [
  fc.record({
    op: fc.constant('increment'),
    key,
    by: fc.integer({ min: -9, max: 9 }),
    ttl,
    inNamespace,
  }),
  fc.record({ op: fc.constant('touch'), key, ttl, inNamespace }),
  fc.record({ op: fc.constantFrom('getMany', 'deleteMany'), keys, inNamespace }),
  fc.record({ op: fc.constant('setMany'), keys, value, inNamespace }),
  fc.record({ op: fc.constant('clear'), inNamespace }),
]

/** Any call of the facade for one of a few keys. */
export const facadeCall = fc.oneof(
  { weight: 270, arbitrary: read },
  { weight: 240, arbitrary: write },
  ...others.map((arbitrary) => ({ weight: 30, arbitrary })),
  { weight: 1, arbitrary: fc.record({ op: fc.constant('burst'), inNamespace }) },
) as unknown as fc.Arbitrary<FacadeCall>

/** Makes a call, with these options for reads. Resolves to its result; for an update, to the value that it found. */
export async function runFacadeCall(
  root: Cache,
  call: FacadeCall,
  reads: ReadOptions | undefined,
): Promise<unknown> {
  const cache = call.inNamespace ? root.namespace('ns') : root
  switch (call.op) {
    case 'get':
      return cache.get(call.key, reads)
    case 'has':
      return cache.has(call.key, reads)
    case 'delete':
    case 'pull':
      return cache[call.op](call.key)
    case 'set':
    case 'add':
    case 'replace':
      return cache[call.op](call.key, call.value, { ttl: call.ttl })
    case 'update': {
      let found: number | undefined
      const change = (current: number | undefined) => {
        found = current
        return call.value
      }
      await cache.update<number>(call.key, change, { ttl: call.ttl })
      return found
    }
    case 'increment':
      return cache.increment(call.key, call.by, { ttl: call.ttl })
    case 'touch':
      return cache.touch(call.key, { ttl: call.ttl })
    case 'getMany':
      return cache.getMany(call.keys, reads)
    case 'setMany':
      return cache.setMany(call.keys.map((each) => [each, call.value] as const))
    case 'deleteMany':
      return cache.deleteMany(call.keys)
    case 'clear':
      return cache.clear()
    case 'burst':
      return runBurst(cache)
  }
}

/** Calls `replace` for one key many times at once. Resolves to the number of calls that were refused. */
async function runBurst(cache: Cache): Promise<number> {
  await cache.set(burstKey, 0)
  const calls = Array.from({ length: burstCalls }, (_, value) => cache.replace(burstKey, value))
  const outcomes = await Promise.allSettled(calls)
  return outcomes.filter(
    (outcome) => outcome.status === 'rejected' && outcome.reason?.code === 'ERR_CACHE_REJECTED',
  ).length
}

/** What a call that resolved to `value` does to each key. */
export function facadeEffects(call: FacadeCall, value: unknown): readonly KeyEffect[] {
  const name = (each: string) => (call.inNamespace ? `ns/${each}` : each)
  switch (call.op) {
    case 'getMany':
      return call.keys.map((each, index) =>
        effect(name(each), { op: 'get' }, (value as unknown[] | undefined)?.[index]),
      )
    case 'setMany':
      return call.keys.map((each) =>
        effect(name(each), { op: 'set', value: call.value }, undefined),
      )
    case 'deleteMany':
      return call.keys.map((each) => effect(name(each), { op: 'delete' }, anyResult))
    case 'clear': {
      const inside = facadeKeys.map((each) => `ns/${each}`)
      const cleared = call.inNamespace ? inside : [...facadeKeys, ...inside]
      return cleared.map((each) => effect(each, { op: 'delete' }, anyResult))
    }
    case 'burst':
      return []
    default:
      return [effect(name(call.key), call, value)]
  }
}

function effect(key: string, call: KeyCall, result: unknown): KeyEffect {
  return { key, call, result }
}
