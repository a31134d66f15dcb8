import assert from 'node:assert/strict'
import type { Payload } from '@stowage/core'
import { encodeFrame, toBytes } from '@stowage/core/driver'
import { type ConformanceCase, group } from '../support/case.ts'
import type { Fixture } from '../support/fixture.ts'

const validFrame = toBytes(encodeFrame({ body: Uint8Array.of(1, 2, 3) }))
/** A frame whose version byte is that of a later format. */
const newerFrame = Buffer.from(validFrame)
newerFrame[1] = 0x7f

/** Payloads that the default codec never writes. */
const corruptPayloads: Readonly<Record<string, Payload>> = {
  'no bytes': '',
  'text that is not JSON': 'not json',
  'truncated JSON': '{"a":',
  'two JSON texts': '1 2',
  'a serialized PHP object': 'O:8:"stdClass":1:{s:1:"a";i:1;}',
  'random bytes': Uint8Array.of(0x9f, 0x00, 0xff, 0x13, 0x37),
  'gzip data': Uint8Array.of(0x1f, 0x8b, 0x08, 0x00),
  'a frame of one byte': validFrame.subarray(0, 1),
  'a frame without a header': validFrame.subarray(0, 2),
  'a frame with a truncated header': validFrame.subarray(0, 6),
  'a frame of a newer version': newerFrame,
  'a frame with a header that is not JSON': frame('{bad'),
  'a frame with a header that is not an object': frame('[]'),
  'a frame with facts of a wrong type': frame('{"freshUntil":"x"}', '1'),
  'a frame with a body of an unknown kind': frame('{"as":"zip"}', '1'),
  'a frame with a body that is not JSON': frame('', 'not json'),
  'the marker byte of a frame as text': '\x01',
}

export const corrupt: readonly ConformanceCase[] = group('corrupt', {
  'get, has and getMany treat a corrupt payload as a miss': forEachPayload(
    async ({ store, newKey, newCache }, payload, rule) => {
      const cache = newCache()
      const [key, intact] = [newKey(), newKey()]
      await store.set(key, payload)
      await cache.set(intact, 'intact')
      assert.equal(await cache.get(key), undefined, `get: ${rule}`)
      assert.equal(await cache.has(key), false, `has: ${rule}`)
      const found = await cache.getMany([key, intact])
      assert.deepEqual(found, [undefined, 'intact'], `getMany: ${rule}`)
    },
  ),

  'pull and replace treat a corrupt payload as a miss': forEachPayload(
    async ({ store, newKey, newCache }, payload, rule) => {
      const key = newKey()
      await store.set(key, payload)
      assert.equal(await newCache().pull(key), undefined, `pull: ${rule}`)
      assert.equal(await newCache().replace(key, 1), false, `replace: ${rule}`)
    },
  ),

  'remember replaces a corrupt payload': forEachPayload(
    async ({ store, newKey, newCache }, payload, rule) => {
      const cache = newCache()
      const key = newKey()
      await store.set(key, payload)
      assert.equal(await cache.remember(key, {}, () => 'loaded'), 'loaded', `remember: ${rule}`)
      assert.equal(await cache.get(key), 'loaded', 'remember stores the loaded value')
    },
  ),

  'set and update replace a corrupt payload, delete removes it': forEachPayload(
    async ({ store, newKey, newCache }, payload, rule) => {
      const cache = newCache()
      const [set, updated, deleted] = [newKey(), newKey(), newKey()]
      for (const key of [set, updated, deleted]) await store.set(key, payload)
      await cache.set(set, 1)
      assert.equal(await cache.get(set), 1, 'set replaces a corrupt payload')
      const change = (current: unknown) => (current === undefined ? 'updated' : 'read')
      assert.equal(await cache.update(updated, change), 'updated', `update: ${rule}`)
      assert.equal(await cache.get(updated), 'updated', 'update replaces a corrupt payload')
      assert.equal(await cache.delete(deleted), true, 'delete removes a corrupt payload')
    },
  ),

  'JSON that another program wrote is a value': async (fixture) => {
    const { store, newKey, newCache, isByteStore } = fixture
    if (!isByteStore) return
    const key = newKey()
    for (const payload of [' {"a": [1]} ', toBytes(' {"a": [1]} ')]) {
      await store.set(key, payload)
      assert.deepEqual(await newCache().get(key), { a: [1] }, 'get decodes plain JSON')
    }
  },

  'a cache with a prefix reads and clears corrupt payloads': forEachPayload(
    async ({ store, newKey, newCache }, payload, rule) => {
      if (store.scan === undefined) return
      const prefix = newKey('p:')
      await store.set(`${prefix}a`, payload)
      assert.equal(await newCache({ prefix }).get('a'), undefined, `with a prefix: ${rule}`)
      await newCache({ prefix }).clear()
      assert.equal(await store.get(`${prefix}a`), undefined, 'clear deletes a corrupt payload')
    },
  ),
})

/** Creates a check that runs once for each corrupt payload, in stores of bytes. */
function forEachPayload(
  check: (fixture: Fixture, payload: Payload, rule: string) => Promise<void>,
) {
  return async (fixture: Fixture) => {
    if (!fixture.isByteStore) return
    for (const [name, payload] of Object.entries(corruptPayloads)) {
      await check(fixture, payload, `${name} is a miss, not an error`)
    }
  }
}

function frame(header: string, body = ''): Buffer {
  return Buffer.concat([validFrame.subarray(0, 2), Buffer.from(`${header}\0${body}`)])
}
