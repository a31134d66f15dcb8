import { createDecipheriv, hkdfSync } from 'node:crypto'
import { inspect } from 'node:util'
import {
  asIs,
  Cache,
  CacheError,
  type Codec,
  channels,
  compressed,
  type EncryptedOptions,
  encrypted,
  json,
} from '@stowage/core'
import { toBytes } from '@stowage/core/driver'
import { ManualClock, referenceStore, type StoredItem } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { codeOf } from './code-of.ts'

const secret = (byte: number) => Buffer.alloc(32, byte).toString('base64')
const [a, b, c] = ['a', 'b', 'c'].map((id, index) => `${id}:${secret(index + 1)}`) as [
  string,
  string,
  string,
]
const codec = encrypted(json(), { keys: [a] })
const entry = { value: { name: 'Ada' }, facts: { freshUntil: 5, tags: { users: 'v1' } } }
const encode = (by: Codec = codec, key = 'k') => toBytes(by.encode(entry, key))
const headerBytes = 4 + 'a'.length + 16 + 12

describe('encrypted()', () => {
  test('decrypts what it encrypted, with facts', () => {
    expect(codec.decode(encode(), 'k')).toEqual(entry)
  })

  test('hides values and facts', () => {
    // Long enough not to appear in random bytes by chance.
    const texts = ['Ada Lovelace', 'full name', 'all the users', 'version one']
    const [value, property, tag, version] = texts as [string, string, string, string]
    const secretEntry = { value: { [property]: value }, facts: { tags: { [tag]: version } } }
    const payload = toBytes(codec.encode(secretEntry, 'k')).toString('latin1')
    expect(codec.decode(toBytes(codec.encode(secretEntry, 'k')), 'k')).toEqual(secretEntry)
    for (const text of texts) expect(payload).not.toContain(text)
  })

  test('encrypts equal values differently', () => {
    const payloads = new Set(Array.from({ length: 100 }, () => encode().toString('hex')))
    expect(payloads.size).toBe(100)
  })

  test('uses AES-256-GCM with a key per item, derived by HKDF-SHA256', () => {
    const payload = encode(codec, 'app:k')
    expect(payload.subarray(0, 5)).toEqual(Buffer.from([1, 4, 1, 1, 'a'.charCodeAt(0)]))
    const [salt, iv] = [payload.subarray(5, 21), payload.subarray(21, 33)]
    const key = hkdfSync('sha256', Buffer.alloc(32, 1), salt, 'stowage aes-256-gcm', 32)
    const decipher = createDecipheriv('aes-256-gcm', new Uint8Array(key), iv)
    decipher.setAAD(Buffer.concat([payload.subarray(0, headerBytes), Buffer.from('app:k')]))
    decipher.setAuthTag(payload.subarray(-16))
    const plain = decipher.update(payload.subarray(headerBytes, -16))
    decipher.final()
    expect(plain).toEqual(toBytes(json().encode(entry, 'app:k')))
  })

  test('does not decrypt a payload that was copied to another key', () => {
    expect(codec.decode(encode(codec, 'app:1'), 'app:1')).toEqual(entry)
    for (const key of ['app:2', 'app:', 'app:11', '', '1']) {
      expect(codec.decode(encode(codec, 'app:1'), key)).toBeUndefined()
    }
  })

  test('does not decrypt a payload with any bit flipped', () => {
    const payload = encode()
    for (let bit = 0; bit < payload.length * 8; bit++) {
      const changed = Buffer.from(payload)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(codec.decode(changed, 'k'), `bit ${bit}`).toBeUndefined()
    }
  })

  test('does not decrypt a payload that was truncated or extended', () => {
    const payload = encode()
    for (let length = 0; length < payload.length; length++) {
      expect(codec.decode(payload.subarray(0, length), 'k')).toBeUndefined()
    }
    expect(codec.decode(Buffer.concat([payload, Buffer.alloc(1)]), 'k')).toBeUndefined()
  })

  test('encrypts an empty payload', () => {
    const empty = encrypted(asIs(), { keys: [a] })
    expect(empty.decode(empty.encode({ value: '' }, 'k'), 'k')).toEqual({ value: Buffer.alloc(0) })
  })

  test('compresses before it encrypts, if composed in this order', () => {
    const both = encrypted(compressed(json()), { keys: [a] })
    const value = 'x'.repeat(10_000)
    const payload = both.encode({ value }, 'k')
    expect(payload.length).toBeLessThan(200)
    expect(both.decode(payload, 'k')).toEqual({ value })
  })
})

describe('rotation of keys', () => {
  const of = (...keys: string[]) => encrypted(json(), { keys })

  test('the first key encrypts, all keys decrypt', () => {
    expect(of(b, a).decode(encode(of(a)), 'k')).toEqual(entry)
    expect(of(a, b).decode(encode(of(b, a)), 'k')).toEqual(entry)
    expect(of(a).decode(encode(of(b, a)), 'k')).toBeUndefined()
    expect(of(c).decode(encode(of(a)), 'k')).toBeUndefined()
  })

  test('an id that is the start of another one is a different key', () => {
    const keys = [`key:${secret(1)}`, `key2:${secret(2)}`]
    for (const order of [keys, [...keys].reverse()]) {
      expect(of(...keys).decode(encode(of(...order)), 'k')).toEqual(entry)
    }
  })

  test('the id determines the key: another key with the same id does not decrypt', () => {
    expect(of(`a:${secret(9)}`).decode(encode(of(a)), 'k')).toBeUndefined()
  })
})

describe('plaintext', () => {
  const until = new Date(1_000_000)
  const at = (now: number) =>
    encrypted(json(), {
      keys: [a],
      acceptPlaintextUntil: until,
      clock: new ManualClock(now),
    })

  test.each(['{"a":1}', '1', '', 'not json', '\x01\x01\x00{"a":1}', '\x01\x02L', '\x01'])(
    '%j is a miss',
    (payload) => {
      expect(codec.decode(payload, 'k')).toBeUndefined()
      expect(codec.decode(toBytes(payload), 'k')).toBeUndefined()
    },
  )

  test('is accepted until the time that is given', () => {
    expect(at(until.getTime() - 1).decode('{"a":1}', 'k')).toEqual({ value: { a: 1 } })
    expect(at(until.getTime()).decode('{"a":1}', 'k')).toBeUndefined()
    expect(at(until.getTime() - 1).decode('not json', 'k')).toBeUndefined()
  })

  test('that is accepted does not weaken the check of encrypted payloads', () => {
    const payload = encode()
    expect(at(0).decode(payload, 'k')).toEqual(entry)
    expect(at(0).decode(payload, 'other')).toBeUndefined()
    expect(at(0).decode(payload.subarray(0, -1), 'k')).toBeUndefined()
  })

  test('is never written', () => {
    expect(toBytes(at(0).encode(entry, 'k')).subarray(0, 2)).toEqual(Buffer.from([1, 4]))
  })
})

describe('invalid options', () => {
  const base64 = (bytes: number) => Buffer.alloc(bytes, 0xab).toString('base64')
  const invalid: Record<string, string[]> = {
    'no keys': [],
    'no id': [base64(32)],
    'an empty id': [`:${base64(32)}`],
    'an id with a space': [`my id:${base64(32)}`],
    'an id of 65 characters': [`${'x'.repeat(65)}:${base64(32)}`],
    '31 bytes': [`a:${base64(31)}`],
    '33 bytes': [`a:${base64(33)}`],
    '16 bytes': [`a:${base64(16)}`],
    'no padding': [`a:${base64(32).replace('=', '')}`],
    base64url: [`a:${Buffer.alloc(32, 0xff).toString('base64url')}=`],
    'bits after the last byte': [`a:${base64(32).slice(0, -2)}t=`],
    'hexadecimal digits': [`a:${Buffer.alloc(32, 0xab).toString('hex')}`],
    'a passphrase': ['a:correct horse battery staple'],
    'white space': [`a:${base64(32)}\n`],
    'a valid and an invalid key': [a, `b:${base64(8)}`],
    'a repeated id': [a, b, `a:${base64(32)}`],
  }

  test.each(Object.entries(invalid))(
    '%s: ERR_CACHE_CONFIG without any part of a key',
    (_, keys) => {
      const error = thrownBy({ keys })
      expect(error.code).toBe('ERR_CACHE_CONFIG')
      const shown = inspect(error, { depth: 9, showHidden: true })
      for (const text of keys.flatMap((key) => key.split(':'))) {
        if (text.length > 2) expect(shown).not.toContain(text)
      }
    },
  )

  test('name the position of the key', () => {
    expect(thrownBy({ keys: [a, 'b'] }).message).toContain('key 2 of 2')
    expect(thrownBy({ keys: [a, b, a] }).message).toContain('key 3 of 3')
  })

  test('an invalid date and an unknown option are errors', () => {
    const invalidDate = { keys: [a], acceptPlaintextUntil: new Date('soon') }
    expect(codeOf(() => encrypted(json(), invalidDate))).toBe('ERR_CACHE_CONFIG')
    const misspelled = { keys: [a], acceptPlaintext: new Date() } as EncryptedOptions
    expect(() => encrypted(json(), misspelled)).toThrow('unknown option acceptPlaintext')
  })

  function thrownBy(options: EncryptedOptions): CacheError {
    try {
      encrypted(json(), options)
    } catch (error) {
      if (CacheError.is(error)) return error
      throw error
    }
    throw new Error('not thrown')
  }
})

test('a codec that is logged does not show its keys', () => {
  const shown = inspect(codec, { depth: 9, showHidden: true })
  expect(shown).not.toContain(secret(1))
  expect(shown).not.toContain('01 01 01')
})

describe.each([
  { kind: 'that lists its keys', scan: true },
  { kind: 'with generations', scan: false },
])('a cache with encryption, over a store $kind', ({ scan }) => {
  const newCache = () => {
    const items = new Map<string, StoredItem>()
    const store = referenceStore({ scan, async: true, items })
    return { items, store, cache: new Cache(store, { name: 'secrets', prefix: 'app:', codec }) }
  }

  test('supports every operation but counters', async () => {
    const { cache } = newCache()
    await cache.setMany([
      ['a', 1],
      ['b', 2],
    ])
    expect(await cache.getMany(['a', 'b', 'c'])).toEqual([1, 2, undefined])
    expect(await cache.add('a', 9)).toBe(false)
    expect(await cache.add('c', 3)).toBe(true)
    expect(await cache.touch('c', { ttl: '1h' })).toBe(true)
    expect(await cache.remember('c', {}, () => 9)).toBe(3)
    expect(await cache.remember('d', {}, () => 4)).toBe(4)
    expect(await cache.namespace('users').remember('d', {}, () => 5)).toBe(5)
    expect(await cache.namespace('users').get('d')).toBe(5)
  })

  test('compares the item that was read, because a value is never encrypted to the same bytes again', async () => {
    const { cache } = newCache()
    await cache.set('k', 1)
    expect(await cache.update<number>('k', (n = 0) => n + 1)).toBe(2)
    expect(await cache.replace('k', 3)).toBe(true)
    expect(await cache.update<number>('k', () => undefined)).toBeUndefined()
    expect(await cache.update<number>('k', (n = 10) => n + 1)).toBe(11)
    expect(await cache.pull('k')).toBe(11)
    expect(await cache.pull('k')).toBeUndefined()
    expect(await cache.replace('k', 1)).toBe(false)
  })

  test('loses no update of two processes', async () => {
    const items = new Map()
    const caches = [1, 2].map(
      () => new Cache(referenceStore({ scan, async: true, items }), { prefix: 'app:', codec }),
    )
    const increments = Array.from({ length: 40 }, (_, index) =>
      caches[index % 2]?.update<number>('n', (n = 0) => n + 1),
    )
    await Promise.all(increments)
    expect(await caches[0]?.get('n')).toBe(40)
  })

  test('overwrites and deletes items that it cannot decrypt', async () => {
    const { store, cache } = newCache()
    const plain = new Cache(store, { prefix: 'app:' })
    await plain.setMany([
      ['a', 'plain'],
      ['b', 'plain'],
    ])
    expect(await cache.update<string>('a', (value = 'missing') => value)).toBe('missing')
    expect(await cache.get('a')).toBe('missing')
    expect(await cache.remember('b', {}, () => 'loaded')).toBe('loaded')
    expect(await cache.delete('b')).toBe(true)
  })

  test('rejects increment and decrement, and leaves the value', async () => {
    const { cache } = newCache()
    await cache.set('n', 1)
    for (const call of [() => cache.increment('n'), () => cache.decrement('n')]) {
      const error: unknown = await call().catch((thrown: unknown) => thrown)
      expect(error).toMatchObject({ code: 'ERR_CACHE_UNSUPPORTED', operation: 'increment' })
    }
    expect(await cache.get('n')).toBe(1)
  })

  test('reads a payload of another key as a miss, with an event', async () => {
    const { items, cache } = newCache()
    await cache.set('victim', 'secret')
    await cache.set('mine', 'overwritten')
    copyItem(items, 'victim', 'mine')
    const events: unknown[] = []
    const listener = (event: unknown) => events.push(event)
    channels.corrupt.subscribe(listener)
    expect(await cache.get('mine')).toBeUndefined()
    channels.corrupt.unsubscribe(listener)
    expect(events).toMatchObject([{ cache: 'secrets' }])
    expect(await cache.get('victim')).toBe('secret')
  })

  test('encrypts the entries of two namespaces for their own names', async () => {
    const { items, cache } = newCache()
    const [from, to] = [cache.namespace('from'), cache.namespace('to')]
    await from.set('k', 'secret')
    await to.set('k', 'overwritten')
    const [first, second] = [...items.keys()].filter((key) => key.endsWith('k'))
    copyItem(items, String(first), String(second))
    expect([await from.get('k'), await to.get('k')]).toEqual(['secret', undefined])
  })
})

/** Overwrites the item whose storage key ends with `to` by the one whose storage key ends with `from`. */
function copyItem(items: Map<string, StoredItem>, from: string, to: string): void {
  const [source, target] = [from, to].map((end) => [...items.keys()].find((k) => k.endsWith(end)))
  const item = items.get(source ?? '')
  if (item === undefined || target === undefined) throw new Error('no such item')
  items.set(target, item)
}
