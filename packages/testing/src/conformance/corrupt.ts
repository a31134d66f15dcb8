import assert from 'node:assert/strict'
import type { Payload } from '@stowage/core'
import { encodeFrame, toBytes } from '@stowage/core/driver'
import { type ConformanceCase, group } from './case.ts'
import type { Subject } from './subject.ts'

const framed = encodeFrame({ body: Uint8Array.of(1, 2, 3) })
/** A frame of which the one byte that says its version is of the future. */
const newer = Buffer.from(framed)
newer[1] = 0x7f

/** Nothing of this is a payload that the default codec has written. */
const corrupt: Readonly<Record<string, Payload>> = {
  'nothing at all': '',
  garbage: 'not json',
  'truncated JSON': '{"a":',
  'two JSON texts': '1 2',
  'a serialised object of another language': 'O:8:"stdClass":1:{s:1:"a";i:1;}',
  'random bytes': Uint8Array.of(0x9f, 0x00, 0xff, 0x13, 0x37),
  'a compressed body': Uint8Array.of(0x1f, 0x8b, 0x08, 0x00),
  'a frame marker alone': framed.subarray(0, 1),
  'a frame without a header': framed.subarray(0, 2),
  'a frame cut in its header': framed.subarray(0, 6),
  'a frame of a newer version': newer,
  'a frame with a header that is no JSON': frame('{bad'),
  'a frame with a header that is no object': frame('[]'),
  'a frame with facts of a wrong type': frame('{"freshUntil":"x"}', '1'),
  'a frame with a body of an unknown kind': frame('{"as":"zip"}', '1'),
  'a frame with a body that is no JSON': frame('', 'not json'),
  'a frame marker as text': '\x01',
}

export const corruption: readonly ConformanceCase[] = group('corrupt', {
  'what is no payload is a miss': each(async ({ store, key, cache }, payload, rule) => {
    const cached = cache()
    const [mine, well] = [key(), key()]
    await store.set(mine, payload)
    await cached.set(well, 'well')
    assert.equal(await cached.get(mine), undefined, `get: ${rule}`)
    assert.equal(await cached.has(mine), false, `has: ${rule}`)
    assert.deepEqual(await cached.getMany([mine, well]), [undefined, 'well'], `getMany: ${rule}`)
  }),

  'what is no payload is neither pulled nor replaced': each(async (subject, payload, rule) => {
    const { store, key, cache } = subject
    const mine = key()
    await store.set(mine, payload)
    assert.equal(await cache().pull(mine), undefined, `pull: ${rule}`)
    assert.equal(await cache().replace(mine, 1), false, `replace: ${rule}`)
  }),

  'remember heals what is no payload': each(async ({ store, key, cache }, payload, rule) => {
    const cached = cache()
    const mine = key()
    await store.set(mine, payload)
    assert.equal(await cached.remember(mine, {}, () => 'loaded'), 'loaded', `remember: ${rule}`)
    assert.equal(await cached.get(mine), 'loaded', 'remember heals what is no payload')
  }),

  'set, update and delete heal what is no payload': each(async (subject, payload, rule) => {
    const { store, key, cache } = subject
    const cached = cache()
    const [set, updated, deleted] = [key(), key(), key()]
    for (const mine of [set, updated, deleted]) await store.set(mine, payload)
    await cached.set(set, 1)
    assert.equal(await cached.get(set), 1, 'set heals what is no payload')
    const seen = await cached.update(updated, (current) =>
      current === undefined ? 'healed' : 'seen',
    )
    assert.equal(seen, 'healed', `update: ${rule}`)
    assert.equal(await cached.get(updated), 'healed', 'update heals what is no payload')
    assert.equal(await cached.delete(deleted), true, 'delete removes whatever is there')
  }),

  'JSON of another program is a value': async ({ store, key, cache, bytes }) => {
    if (!bytes) return
    const mine = key()
    for (const form of [' {"a": [1]} ', toBytes(' {"a": [1]} ')]) {
      await store.set(mine, form)
      assert.deepEqual(
        await cache().get(mine),
        { a: [1] },
        'plain JSON is shared with other languages',
      )
    }
  },

  'a cache of its prefix survives what is no payload': each(async (subject, payload, rule) => {
    const { store, key, cache } = subject
    if (store.scan === undefined) return
    const prefix = key('p:')
    await store.set(`${prefix}a`, payload)
    assert.equal(await cache({ prefix }).get('a'), undefined, `with a prefix: ${rule}`)
    await cache({ prefix }).clear()
    assert.equal(await store.get(`${prefix}a`), undefined, 'clear removes whatever is there')
  }),
})

/** A case for each corrupt payload, in stores of bytes. */
function each(check: (subject: Subject, payload: Payload, rule: string) => Promise<void>) {
  return async (subject: Subject) => {
    if (!subject.bytes) return
    for (const [name, payload] of Object.entries(corrupt)) {
      await check(subject, payload, `${name} is a miss, not an exception`)
    }
  }
}

function frame(header: string, body = ''): Buffer {
  return Buffer.concat([framed.subarray(0, 2), Buffer.from(`${header}\0${body}`)])
}
