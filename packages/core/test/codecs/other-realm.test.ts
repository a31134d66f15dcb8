import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { createContext, runInContext, runInNewContext } from 'node:vm'
import { asIs, Cache, compressed, encrypted, json, structured } from '@stowage/core'
import { ManualClock, referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { codeOf } from './code-of.ts'

const bytes = () => runInNewContext('new Uint8Array([1, 2, 255])') as Uint8Array
const keys = [`app:${Buffer.alloc(32, 1).toString('base64')}`]

describe('values of another realm', () => {
  test.each([
    ['json', json()],
    ['asIs', asIs()],
    ['structured', structured()],
    ['compressed', compressed(json())],
    ['encrypted', encrypted(json(), { keys })],
  ])('are bytes if they are: %s', async (_, codec) => {
    const cache = new Cache(referenceStore(), { prefix: 'c:', codec })
    await cache.set('k', bytes())
    expect(await cache.get('k')).toEqual(Buffer.from([1, 2, 255]))
  })

  test('are bytes within another value: structured', async () => {
    const cache = new Cache(referenceStore(), { codec: structured() })
    await cache.set('k', { list: [bytes()] })
    expect(await cache.get('k')).toEqual({ list: [Buffer.from([1, 2, 255])] })
  })

  test.each(['new Map([[1, 2]])', 'new Set([1])', 'new Error("e")', '/x/', 'Promise.resolve(1)'])(
    'are no JSON if they are not: %s',
    (source) => {
      const member = runInNewContext(source)
      expect(codeOf(() => json().encode({ value: { member } }, 'k'))).toBe('ERR_CACHE_CODEC')
    },
  )

  test('are results and times of expiry', async () => {
    const clock = new ManualClock()
    const cache = new Cache(referenceStore({ clock }), { clock })
    const loaded = runInNewContext('new Map([["a", 1], ["b", 2]])')
    expect(await cache.rememberMany(['a', 'b'], {}, () => loaded)).toEqual([1, 2])
    await cache.set('k', 'v', { ttl: runInNewContext(`new Date(${clock.now() + 1_000})`) })
    await clock.advance(999)
    expect(await cache.get('k')).toBe('v')
    await clock.advance(1)
    expect(await cache.get('k')).toBeUndefined()
  })
})

/** Loads the package in a realm whose classes are not those of Node, as Jest does. */
function loadInRealm(): typeof import('@stowage/core') {
  const native = createRequire(import.meta.url)
  const context = createContext({
    process,
    Buffer,
    crypto,
    performance,
    setInterval,
    clearInterval,
    setTimeout,
    clearTimeout,
  })
  const loaded = new Map<string, { exports: unknown }>()
  const load = (file: string): unknown => {
    const known = loaded.get(file)
    if (known !== undefined) return known.exports
    const module = { exports: {} as unknown }
    loaded.set(file, module)
    const requireFrom = (name: string) =>
      name.startsWith('.') ? load(join(dirname(file), name)) : native(name)
    const source = `(function (require, module, exports) {${readFileSync(file, 'utf8')}\n})`
    runInContext(source, context, { filename: file })(requireFrom, module, module.exports)
    return module.exports
  }
  return load(native.resolve('@stowage/core')) as typeof import('@stowage/core')
}

test('the package stores bytes and marks in a realm whose classes are not those of Node', async () => {
  const core = loadInRealm()
  const cache = new core.Cache(referenceStore(), { ttl: '1m' })
  const other = new core.Cache(referenceStore(), { codec: core.structured() })
  await cache.set('k', Buffer.from('bytes'))
  await other.set('k', { member: Buffer.from('bytes') })
  expect(await cache.get('k')).toEqual(Buffer.from('bytes'))
  expect(await other.get('k')).toEqual({ member: Buffer.from('bytes') })
  expect(await cache.remember('l', {}, () => Buffer.from('loaded'))).toEqual(Buffer.from('loaded'))
})
